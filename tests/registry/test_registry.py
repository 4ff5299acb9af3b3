import subprocess
import sys
from pathlib import Path

import pytest

from equibench.errors import UnavailableError, UsageError
from equibench.registry.listing import list_models, listing
from equibench.registry.registries import MODELS, Registry


@pytest.fixture(autouse=True)
def _only_what_is_installed(monkeypatch):
    """Forget what other tests have decorated."""
    monkeypatch.setattr(MODELS, "_decorated", {})


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Install fake packages: name, entry points of models, and modules by name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, entry_points, **modules):
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[equibench.models]\n{entry_points}\n")

    return install


def test_an_installed_package_announces_models_by_entry_points(installed):
    installed("good-plugin", "net-a = net_a:build", net_a="def build(): 'A net.'\n")
    assert MODELS.get("net-a").origin == "good-plugin 1.0"
    assert "✓ net-a       A net. (good-plugin 1.0)" in listing("models", "net-a", width=120)


def test_a_broken_plugin_is_listed_with_its_reason_and_stops_nobody_else(installed):
    installed("bad-plugin", "net-b = net_b:build", net_b="import a_module_that_is_not_there")
    text = " ".join(listing("models", width=300).split())
    assert (
        "✗ net-b model 'net-b' (bad-plugin 1.0) cannot be imported: ModuleNotFoundError: No module "
        "named 'a_module_that_is_not_there'" in text
    )
    assert "✓ unet-baseline" in text


def test_a_missing_extra_is_named_with_the_command_that_mends_it(installed):
    source = (
        "from equibench.registry.registries import register_model\n"
        "@register_model('net-c', extra='heavy', modules=('not_there_either',))\n"
        "def build(): ...\n"
    )
    installed("heavy-plugin", "net-c = net_c:build", net_c=source)
    with pytest.raises(UnavailableError) as caught:
        MODELS.get("net-c").require()
    assert str(caught.value) == (
        "model 'net-c' needs not_there_either; pip install 'heavy-plugin[heavy]'"
    )


def test_of_two_packages_with_one_name_the_second_is_listed_as_refused(installed):
    installed("plugin-x", "net-d = net_x:build", net_x="def build(): 'X.'\n")
    installed("plugin-y", "net-d = net_y:build", net_y="def build(): 'Y.'\n")
    text = " ".join(listing("models", "net-d", width=300).split())
    assert "✓ net-d X. (plugin-x 1.0)" in text
    assert (
        "✗ net-d model 'net-d' (plugin-y 1.0) cannot be imported: UsageError: the name is " in text
    )
    assert MODELS.get("net-d").origin == "plugin-x 1.0"


def test_nobody_takes_the_name_of_a_built_in_model():
    with pytest.raises(UsageError) as caught:

        @MODELS.register("unet-aps")
        def mine(): ...

    assert str(caught.value) == (
        "model 'unet-aps' is already equibench.models.variants:unet_aps; "
        f"{__name__}:test_nobody_takes_the_name_of_a_built_in_model.<locals>.mine "
        "needs another name"
    )


def test_a_decorated_name_is_refused_to_a_second_object_and_the_message_shows_both():
    registry = Registry("model")

    @registry.register("net")
    def first(): ...

    with pytest.raises(UsageError, match=r"model 'net' is already \S+first; \S+second needs"):

        @registry.register("net")
        def second(): ...


def test_registering_the_same_object_again_is_no_clash():
    registry = Registry("toy")

    def net():
        """A net."""

    registry.register("net")(registry.register("net")(net))
    assert [(e.name, e.info.summary) for e in registry.entries()] == [("net", "A net.")]


def test_an_unknown_name_is_answered_with_the_closest_and_then_the_full_list():
    with pytest.raises(UsageError) as caught:
        MODELS.get("unet-asp")
    message = str(caught.value)
    assert message.startswith("no model is called 'unet-asp'. Did you mean unet-aps")
    assert message.partition("There are: ")[2].split(", ")[:2] == [".ckpt", ".onnx"]


def test_a_plugin_reads_the_paths_behind_its_prefix(installed):
    source = "def build(path, n=1):\n    'A net.'\n    return path, n\n"
    installed("hub-plugin", "hub: = net_h:build", net_h=source, hub="build = None")
    entry = MODELS.get("hub:some/where,else.onnx")
    assert (entry.file, entry.parameters) == (Path("some/where,else.onnx"), ("n",))
    assert entry.require()(n=2) == (entry.file, 2)
    assert MODELS.get("hub:build").file == Path("build")  # and no attribute of a module
    assert "✓ hub:" in listing("models", "hub:", width=120)
    assert "hub:" not in list_models()


@pytest.mark.parametrize("how", ["file", "module"])
def test_any_attribute_can_be_reached_without_registering_it(how, tmp_path, monkeypatch):
    (tmp_path / "helper_of_net.py").write_text("VALUE = 7")
    (tmp_path / "some_net.py").write_text(
        "from helper_of_net import VALUE\ndef build(n=1): return VALUE * n\n"
    )
    if how == "module":
        monkeypatch.syspath_prepend(str(tmp_path))
    reference = {"file": f"{tmp_path}/some_net.py:build", "module": "some_net:build"}[how]
    path = list(sys.path)
    assert MODELS.get(reference).require()(n=2) == 14
    assert sys.path == path


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("{}/no.py:build", "FileNotFoundError: no such file: {}/no.py"),
        ("{}/net.py:built", "AttributeError: net.py has no 'built'; did you mean build?"),
        ("no_such_module:build", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)  # fmt: skip
def test_a_reference_that_leads_nowhere_says_why(reference, reason, tmp_path):
    (tmp_path / "net.py").write_text("def build(): ...")
    reference = reference.format(tmp_path)
    with pytest.raises(UsageError) as caught:
        MODELS.get(reference).require()
    assert str(caught.value) == (
        f"model {reference!r} ({reference}) cannot be imported: {reason.format(tmp_path)}"
    )


def test_an_argument_that_the_factory_does_not_take_is_answered_with_those_it_does():
    with pytest.raises(UsageError) as caught:
        MODELS.get("unet-aps").check({"wdith": 1})
    assert str(caught.value) == (
        "model 'unet-aps': got an unexpected keyword argument 'wdith'; "
        "it takes width, in_channels, out_channels, levels, dims"
    )


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["--help", "ls", "ls metrics ssim"])
def test_help_and_lists_do_not_import_torch(arguments):
    code = (
        "import sys; from equibench.cli import app; app(sys.argv[1:], standalone_mode=False);"
        "sys.exit(bool({'torch', 'transformers', 'diffusers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, *arguments.split()]
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.slow
def test_ls_of_one_name_shows_all_that_it_says_of_itself():
    from equibench.models.variants import unet_aps_3

    parameters = sum(p.numel() for p in unet_aps_3().parameters())
    text = listing("models", "unet-aps-3", width=100)
    assert text.splitlines()[3:] == [
        "    arguments: width=1.0, in_channels=1, out_channels=1, levels=4, dims=2",
        f"    parameters: {parameters:,}",
        "    padding: circular",
        "    total stride: 16",
        "    paper: APS-3",
        "    trained: False",
        "    weights: ct-sample, mri-sample, seg-sample",
    ]


def test_what_a_plugin_says_of_itself_is_shown_and_of_a_network_that_is_built_too(installed):
    source = (
        "import equibench as eb\n"
        "@eb.register_model('net-e', licence='MIT', citation='Me, 2026', trained_on='knees')\n"
        "def build(width: int, depth=3, **more): ...\n"
    )
    installed("good-plugin", "net-e = net_e:build", net_e=source)
    assert listing("models", "net-e", width=100).splitlines()[3:] == [
        "    arguments: width, depth=3, …",
        "    licence: MIT",
        "    citation: Me, 2026",
        "    trained on: knees",
    ]
