"""Models in repositories that have packages of common names: each sees its own, nobody theirs."""

import gc
import json
import sys
import threading
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch

from equibench.errors import UnavailableError
from equibench.loading.load import load_spec
from equibench.registry.plugin_files import load_file
from equibench.registry.specs import Spec

NET = """
import torch
from models import Scale

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Scale()

    def forward(self, x):
        from utils.late import offset    # only when it runs
        return self.scale(x) + offset(x)

def build():
    return Net()

def build_function():
    net = Net()
    return lambda x: net(x)
"""


def repository(folder: Path, factor: int, packages: bool = True) -> str:
    """A repository with ``models`` and ``utils``, whose network multiplies and adds a number."""
    for name in ("models", "utils"):
        (folder / name).mkdir(parents=True)
    if packages:
        (folder / "utils/__init__.py").touch()
        (folder / "models/__init__.py").write_text("from .scale import Scale\n")
        (folder / "models/scale.py").write_text(
            "import torch\nfrom utils.constants import FACTOR\n"
            "class Scale(torch.nn.Module):\n"
            "    def forward(self, x): return x * FACTOR\n"
        )
    (folder / "utils/constants.py").write_text(f"FACTOR = {factor}\n")
    (folder / "utils/late.py").write_text(
        "from utils.constants import FACTOR\ndef offset(x): return FACTOR / 100\n"
    )
    (folder / "net.py").write_text(NET)
    return f"{folder}/net.py"


@pytest.fixture
def pair(tmp_path):
    """Two repositories with packages of the same names, and one that breaks as it is imported."""
    broken = repository(tmp_path / "broken", 0)
    (tmp_path / "broken/models/scale.py").write_text("import utils\nraise ImportError('no CUDA')\n")
    return repository(tmp_path / "two", 2), repository(tmp_path / "three", 3), broken


@pytest.fixture(autouse=True)
def _process_as_it_was():
    """Whatever a test does, nothing of a repository is left in the process."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    left = {n.partition(".")[0] for n in set(sys.modules) - modules}
    assert not left & {"models", "utils", "net"}
    assert sys.path == path


def output(model):
    return load_spec(Spec.parse(model)).model(torch.ones(1, 1, 2, 2)).unique().tolist()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("factory", ["build", "build_function"])
def test_repositories_with_colliding_packages_each_get_their_own(pair, order, factory):
    expected = {0: [2.02], 1: [3.03]}
    models = {}
    for i in order:
        if i == 2:
            with pytest.raises(UnavailableError, match="cannot be imported: ImportError: no CUDA"):
                load_spec(Spec.parse(f"{pair[i]}:{factory}"))
        else:
            models[i] = load_spec(Spec.parse(f"{pair[i]}:{factory}")).model
    for i in (*models, *reversed(models)):  # in turn, after both were loaded
        assert models[i](torch.ones(1, 1, 2, 2)).unique().tolist() == pytest.approx(expected[i])


def test_a_module_of_the_harness_s_own_environment_is_neither_seen_nor_lost(pair, monkeypatch):
    theirs = type(sys)("utils")
    monkeypatch.setitem(sys.modules, "utils", theirs)
    assert output(f"{pair[0]}:build") == pytest.approx([2.02])
    assert sys.modules["utils"] is theirs
    monkeypatch.delitem(sys.modules, "utils")


def test_folders_without_an_init_file_are_packages_too(tmp_path):
    for factor in (4, 5):
        net = repository(tmp_path / str(factor), factor, packages=False)
        (tmp_path / f"{factor}/models.py").write_text(
            "import torch\nfrom utils.constants import FACTOR\n"
            "class Scale(torch.nn.Module):\n"
            "    def forward(self, x): return x * FACTOR\n"
        )
        (tmp_path / f"{factor}/models").rmdir()
        assert output(f"{net}:build") == pytest.approx([factor * 1.01])


def test_a_file_in_a_package_imports_relatively_and_from_the_top(tmp_path):
    repository(tmp_path, 7)
    (tmp_path / ".git").mkdir()
    (tmp_path / "models/deep").mkdir()
    (tmp_path / "models/deep/__init__.py").touch()
    (tmp_path / "models/deep/net.py").write_text(
        "from ..scale import Scale\nfrom utils.late import offset\ndef build(): return Scale()\n"
    )
    assert output(f"{tmp_path}/models/deep/net.py:build") == [7]


def test_a_script_folder_sees_the_top_of_its_repository(tmp_path):
    repository(tmp_path, 9)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/net.py").write_text("from models import Scale as build\n")
    assert output(f"{tmp_path}/scripts/net.py:build") == [9]


def test_what_a_repository_adds_to_the_path_is_its_alone(tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "lib/layers.py").write_text(f"VALUE = {value}\n")
        (tmp_path / name / "net.py").write_text(
            "import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), 'lib'))\n"
            "def build():\n"
            "    def net(x):\n"
            "        from layers import VALUE\n"
            "        return x * VALUE\n"
            "    return net\n"
        )
    assert [output(f"{tmp_path}/{n}/net.py:build") for n in "aba"] == [[1], [2], [1]]
    assert "layers" not in sys.modules


def test_an_error_in_forward_leaves_nothing_behind(tmp_path):
    repository(tmp_path, 1)
    (tmp_path / "utils/late.py").write_text("raise RuntimeError('late')\n")
    model = load_spec(Spec.parse(f"{tmp_path}/net.py:build")).model
    for _ in range(2):
        with pytest.raises(RuntimeError, match="late"):
            model(torch.ones(1, 1, 2, 2))
        assert "utils" not in sys.modules


def test_the_sources_of_a_whole_repository_are_hashed(pair):
    def sha():
        return load_spec(Spec.parse(f"{pair[0]}:build")).provenance["source_sha256"]

    first = sha()
    assert sha() == first
    constants = Path(pair[0]).parent / "utils/constants.py"
    constants.write_text("FACTOR = 8\n")
    assert sha() != first


def test_a_repository_is_seen_by_one_thread_at_a_time(pair):
    models = [load_spec(Spec.parse(f"{net}:build")).model for net in pair[:2]]
    found = [[], []]

    def forward(i):
        for _ in range(20):
            found[i].append(float(models[i](torch.ones(1, 1, 1, 1))))

    threads = [threading.Thread(target=forward, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[pytest.approx(2.02)] * 20, [pytest.approx(3.03)] * 20]


def test_an_interrupted_pass_hides_the_modules_again_and_keeps_no_thread_waiting(pair):
    late = Path(pair[0]).parent / "utils/late.py"
    late.write_text("def offset(x):\n    raise KeyboardInterrupt\n")
    model, other = (load_spec(Spec.parse(f"{net}:build")).model for net in pair[:2])
    with pytest.raises(KeyboardInterrupt):
        model(torch.ones(1, 1, 1, 1))
    assert "models" not in sys.modules
    found = []
    thread = threading.Thread(
        target=lambda: found.append(float(other(torch.ones(1, 1, 1, 1)))), daemon=True
    )
    thread.start()
    thread.join(60)
    assert found == [pytest.approx(3.03)]


@pytest.mark.parametrize("instead", ["", "        self.forward = self.pass_on\n"])
def test_a_copy_of_a_network_is_independent_of_it(pair, instead):
    """Also of one that puts another method in the place of its class's ``forward``."""
    if instead:
        source = NET.replace("Scale()\n", f"Scale()\n{instead}").replace(
            "def forward", "def pass_on"
        )
        Path(pair[0]).write_text(source)
    model = load_spec(Spec.parse(f"{pair[0]}:build")).model
    copy = deepcopy(model)
    copy.scale = torch.nn.Identity()
    one = torch.ones(1, 1, 1, 1)
    assert (float(model(one)), float(copy(one))) == (pytest.approx(2.02), pytest.approx(1.02))


def test_one_run_measures_two_repositories_and_reports_the_broken_third(pair, cli, tmp_path):
    models = [part for net in pair for part in ("-m", f"{net}:build,label={Path(net).parent.name}")]
    status, _, err = cli("run", *models, "-s", "noise,n=1,size=16", "--out", "run")
    assert status == 1
    assert "cannot be imported: ImportError: no CUDA" in err
    rows = pd.read_parquet(tmp_path / "run/rows")
    assert set(rows["model"]) == {"two", "three"}
    described = json.loads((tmp_path / "run/run.json").read_text())["models"]
    assert described["two"]["source_sha256"] != described["three"]["source_sha256"]


def test_files_are_loaded_while_garbage_and_other_threads_import(tmp_path):
    imported = []

    class Late:
        """Imports as it is collected, and leaves another one to collect."""

        def __init__(self):
            self.itself = self

        def __del__(self):
            if len(imported) < 10_000:
                imported.append(f"imported_late_{len(imported)}")
                sys.modules[imported[-1]] = ModuleType(imported[-1])
                Late()

    threshold = gc.get_threshold()
    Late()
    gc.set_threshold(5)
    try:
        for number in range(20):
            file = tmp_path / f"plugin_{number}.py"
            file.write_text(f"value = {number}\n")
            assert load_file(str(file)).value == number
    finally:
        gc.set_threshold(*threshold)
        for name in imported:
            sys.modules.pop(name, None)
    assert len(imported) > 20
