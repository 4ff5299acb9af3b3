"""Each integration has an example that can be taken in at a glance, and that runs."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples/integrations"
SAYS = {
    "torchmetrics_metric": r"mean NMSE under shifts: \d\.\d+e.\d+\nworst NMSE under shifts: \d",
    "lightning_callback": r"worst NMSE under shifts of the kept epoch: \d\.\d+e-\d+",
    "hugging_face": r"pixels that keep their label, at worst: \d+\.\d%",
    "plain_loop": r"0 0\.\d+\n1 0\.\d+\n2 0\.\d+\n3 0\.\d+",
}


def test_every_example_is_run_here():
    assert {file.stem for file in EXAMPLES.glob("*.py")} == {*SAYS, "module", "own_tracker"}


@pytest.mark.parametrize("name", [*SAYS, "own_tracker"])
def test_an_example_is_under_twenty_lines(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 20


@pytest.mark.long
@pytest.mark.parametrize("name", SAYS)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:The '.*_dataloader' does not have")
def test_an_example_runs_and_says_what_it_measured(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    torch.manual_seed(0)
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
    sys.modules.pop("module", None)
    said = capsys.readouterr().out
    assert re.search(SAYS[name], said), said


def test_the_tracker_of_the_examples_writes_its_lines(cli, tmp_path):
    tracker = f"{EXAMPLES}/own_tracker.py:Lines,file=said.txt"
    model, suite = "unet-aps,width=0.05,label=aps", "noise,n=2,size=32"
    status, *_ = cli("run", "-m", model, "-s", suite, "--out", "mine", "--track", tracker)
    assert status == 0
    assert re.fullmatch(
        r"1/1 aps noise \d\.\de.\d+\nmine: finished\n", (tmp_path / "said.txt").read_text()
    )


@pytest.mark.long
def test_equibench_imports_no_library_that_it_works_with():
    code = (
        "import equibench as eb, sys\n"
        "eb.evaluate, eb.shift_consistency, eb.shift_consistency_loss, eb.run\n"
        "others = {'torchmetrics', 'pytorch_lightning', 'mlflow', 'wandb', 'tensorboard',"
        "          'transformers', 'diffusers'}\n"
        "print(sorted(others & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
