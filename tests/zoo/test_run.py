"""One run takes all of the zoo, and loses nothing but what the table says it must refuse."""

import contextlib
import io
import json
import math
import re
import sys

import pandas as pd
import pytest
from zoo.state import process_state, state
from zoo.table import WATCHED, ZOO

from equibench.cli import main
from equibench.foundation.rounding import default_limit

pytestmark = pytest.mark.long

SHIFTS = 2
CASES = 2


class Run:
    """What a command left: its exit status, what it said, rows and failures by model."""

    def __init__(self, folder, names, factory, *more):
        self.out, self.err = io.StringIO(), io.StringIO()
        models = [("-m", f"zoo.table:{factory},name={name},label={name}") for name in names]
        plan = folder.with_suffix(".csv")
        plan.write_text("dy,dx\n1,0\n5,11\n")
        arguments = [*("-s", f"noise,n={CASES},size=16,sigma=1"), *("--shifts", f"file:{plan}")]
        command = ["equibench", "run", *sum(models, ()), *arguments, "--out", str(folder), *more]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", command)
            patch.setenv("EQUIBENCH_DEVICE", "cpu")
            with (
                contextlib.redirect_stdout(self.out),
                contextlib.redirect_stderr(self.err),
                pytest.raises(SystemExit) as stopped,
            ):
                main()
        self.status = stopped.value.code
        rows = pd.read_parquet(folder / "rows")
        self.rows = dict(list(rows.groupby("model")))
        self.failures = {}
        for failure in json.loads((folder / "failures.json").read_text()):
            self.failures.setdefault(failure["model"], []).append(failure["message"])

    def holds(self, name):
        """Whether rows and messages of a network are what the table says."""
        entry, rows = ZOO[name], self.rows.get(name)
        if entry.refused:
            assert rows is None
            (line,) = self.failures[name]
            assert re.search(entry.outcome, line), line
            assert "\n" not in line
            return
        if name in self.failures:  # numbers, and a message for those that are none
            assert all("not finite" in line for line in self.failures[name])
            assert not rows["eq_nmse"].map(math.isfinite).all()
        errors = rows.loc[rows["draw"] > 0, "eq_nmse"]
        assert len(errors) == CASES * SHIFTS
        if entry.outcome == "exact":
            assert errors.max() <= default_limit("fp32")
        if entry.outcome == "broken":
            assert errors.max() > 1e-4


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """One run of all networks in this process; what it changed of the process."""
    before = process_state()
    run = Run(tmp_path_factory.mktemp("zoo") / "run", ZOO, "watched")
    now = process_state()
    run.changed = {name for name in now if now[name] != before[name]}
    return run


def test_a_run_of_the_whole_zoo_ends_with_a_table_and_a_status(here):
    refused = {name for name, entry in ZOO.items() if entry.refused}
    assert here.status == 1
    assert set(here.failures) >= refused
    assert set(here.rows) == ZOO.keys() - refused
    assert here.changed == set()
    assert "Traceback" not in here.err.getvalue()


@pytest.mark.parametrize("name", ZOO)
def test_the_command_line_says_of_a_network_what_the_table_says(name, here):
    here.holds(name)


@pytest.mark.parametrize("name", ZOO)
def test_a_run_leaves_a_network_as_it_was_built(name, here):
    if name in WATCHED:  # else it could not be built
        model, before = WATCHED[name]
        after = state(model)
        assert {key: value for key, value in after.items() if before.get(key) != value} == {}
        assert after.keys() == before.keys()


ON_WORKERS = [
    *("plain", "zero-padding", "lazy-convolution", "sparse-buffer", "scripted", "counts-its-calls"),
    *("lambda", "tuple", "system-exit", "base-exception", "factory-that-raises", "meta-weights"),
]


def test_workers_of_a_cluster_say_the_same(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    run = Run(tmp_path / "run", ON_WORKERS, "network", "--engine", "dask", "--workers", "2")
    assert run.status == 1
    for name in ON_WORKERS:
        run.holds(name)


def test_twelve_models_of_which_five_are_odd_on_a_suite_with_two_broken_images(
    tmp_path, monkeypatch, capsys
):
    images = tmp_path / "photos"
    images.mkdir()
    from PIL import Image

    for number in range(3):
        Image.effect_noise((320, 320), 64).save(images / f"{number}.png")
    (images / "text.png").write_text("no image")
    (images / "short.png").write_bytes((images / "0.png").read_bytes()[:200])
    good = [
        "plain",
        "zero-padding",
        "max-pooling",
        "lazy-norm",
        "sparse-rows",
        "pruned",
        "function",
    ]
    odd = ["system-exit", "scalar", "meta-weights", "factory-that-raises", "empty-batch"]
    models = [("-m", f"zoo.table:network,name={name},label={name}") for name in good + odd]
    command = ["equibench", "run", *sum(models, ()), "-s", "imagenet", "--data"]
    command += [f"imagenet={images}", "--shifts", "random:n=1,max=4"]
    command += ["--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stopped:
        main()
    err = capsys.readouterr().err
    assert stopped.value.code == 1
    rows = pd.read_parquet(tmp_path / "run/rows")
    assert set(rows["model"]) == set(good)
    assert set(rows["case"]) == {"0.png", "1.png", "2.png"}
    lines = [line for line in err.splitlines() if line.startswith("failed: ")]
    failures = json.loads((tmp_path / "run/failures.json").read_text())
    messages = {failure["message"] for failure in failures}
    assert len(messages) == len(lines) == len(odd) + 2
    assert {line.removeprefix("failed: ") for line in lines} == messages
