"""What a shell is offered where a command takes a name."""

import os
import subprocess
import sys

import pytest

from equibench.registry import completion
from equibench.registry.listing import list_metrics, list_models, list_suites, list_treatments

pytestmark = pytest.mark.slow

ASK = """
import sys
sys.argv = ["equibench"]
from equibench.cli import main
try:
    main()
finally:
    heavy = {"torch", "pandas", "matplotlib"} & set(sys.modules)
    assert not heavy, heavy
"""


def offered(line):
    """What fish is offered at the end of a line."""

    environment = os.environ | {
        "_EQUIBENCH_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": line,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASK],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("equibench run -m unet-lpf", ["unet-lpf-2", "unet-lpf-3", "unet-lpf-5"]),
        ("equibench probe unet-base", ["unet-baseline"]),
        ("equibench run -s mri-", ["mri-sample"]),
        ("equibench run --metrics nmse,ps", ["nmse,psnr"]),
    ],
)
def test_names_are_offered_without_loading_torch(line, names):
    assert offered(line) == names


def test_every_registered_name_is_offered():
    assert completion.models("") == list_models()
    assert completion.suites("") == list_suites()
    assert completion.metrics("") == list_metrics()
    assert completion.treatments("") == list_treatments()


def test_the_last_name_of_a_list_or_a_sum_is_completed():
    assert completion.metrics("nmse,psn") == ["nmse,psnr"]
    assert completion.treatments("circular+canon") == ["circular+canonical"]
    assert completion.models("no-such") == []


def test_run_folders_are_found_below_what_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("results/runs/one", "results/runs/two", "results/other", "run", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
        if folder != "results/other":
            (tmp_path / folder / "run.json").write_text("{}", encoding="utf-8")
    assert completion.runs("") == ["results/runs/one", "results/runs/two", "run"]
    assert completion.runs("results/runs/t") == ["results/runs/two"]
    assert completion.runs("r") == ["results/runs/one", "results/runs/two", "run"]
    assert completion.runs(".h") == [".hidden"]
    assert completion.runs(f"{tmp_path}/ru") == [f"{tmp_path}/run"]
    assert completion.runs("nowhere/at") == []
