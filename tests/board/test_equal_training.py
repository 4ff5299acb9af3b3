"""Library networks of the board that are trained alike, and the tool that trains them."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

import equibench as eb
from equibench.board.definition import read_board
from equibench.models.training.recipes import recipe

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]

pytest.importorskip("nilearn")


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("train_board", ROOT / "tools/train_board.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ten_library_networks_are_trained_as_the_board_says(tool):
    specs = list(tool.alike())
    (group,) = (g for g in read_board(tool.BOARD).groups if "steps of two whole" in g.trained)
    assert len(specs) == len(group.models) == len({spec.weights for spec in specs}) == 10
    steps = tool.RECIPE.epochs * tool.RECIPE.drawn // tool.RECIPE.batch
    assert f"{steps} steps of two whole images" in group.trained
    assert (tool.RECIPE.batch, tool.RECIPE.crop) == (2, 0)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_network_starts_from_scratch_and_ends_in_the_file_that_the_board_names(
    tool, tmp_path, monkeypatch
):
    short = recipe("sample-mri", crop=32, batch=2, drawn=4, epochs=1, warmup=1)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "RECIPE", short)
    monkeypatch.chdir(tmp_path)
    (spec,) = (spec for spec in tool.alike() if spec.reference == "monai-unet")
    tool.make(spec)
    file = tmp_path / spec.weights
    assert file.stat().st_size > 0
    x = torch.rand(1, 1, 32, 32)
    trained = eb.load_model(f"monai-unet,weights={spec.weights}").eval()
    assert not torch.equal(trained(x), eb.load_model("monai-unet").eval()(x))
    before = file.read_bytes()
    tool.make(spec)
    assert file.read_bytes() == before, "what is there is kept"


def test_a_label_that_is_not_trained_here_is_refused(tool, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_board.py", "smp-unet"])
    assert tool.main() == 2
    assert "'smp-unet' is none of smp-linknet mobilenet_v2 (MRI), " in capsys.readouterr().err
