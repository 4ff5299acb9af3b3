"""The batch is chosen by measurement where that pays, and then kept."""

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from equibench.evaluation.batch_tuning import CANDIDATES, fitting, tuned, worth_tuning
from equibench.measurement.run_config import validated
from equibench.measurement.settings import AUTO_BATCH, Settings
from equibench.runs.runner import run

SETTINGS = Settings.of(validated({"models": ["m"], "suites": ["s"], "device": "cpu"}, "test"))
IMAGE = torch.zeros(1, 1, 8, 8)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def passes(monkeypatch):
    """The clock of trials: it goes on when it is told so, passes(seconds)."""
    now = [0.0]

    def passes(seconds):
        now[0] += seconds

    monkeypatch.setattr("equibench.evaluation.batch_tuning.perf_counter", lambda: now[0])
    return passes


@pytest.fixture
def prefers(passes):
    """A model that is quick with one batch and slow with every other: prefers(batch)."""

    def prefers(batch):
        def model(x):
            passes(0.002 if len(x) == batch else 0.01 * len(x))
            return x

        return model

    return prefers


@pytest.mark.parametrize("batch", CANDIDATES["cpu"])
def test_the_fastest_batch_is_chosen(batch, prefers):
    assert tuned(prefers(batch), IMAGE, SETTINGS, "a") == batch


@pytest.mark.parametrize(("share", "chosen"), [(0.98, 2), (0.96, 4)])
def test_more_memory_is_taken_for_more_than_three_per_cent_only(passes, share, chosen):
    def model(x):
        passes(len(x) * {2: 1.0, 4: share, 8: share}[len(x)])
        return x

    assert tuned(model, IMAGE, SETTINGS, "a") == chosen


def test_a_slow_moment_of_the_machine_decides_nothing(passes):
    calls = iter(range(100))

    def model(x):
        passes(10.0 if next(calls) < 3 else len(x) * (1.0 if len(x) == 2 else 2.0))
        return x

    assert tuned(model, IMAGE, SETTINGS, "a") == 2


def test_a_choice_is_remembered(cache, prefers):
    assert tuned(prefers(8), IMAGE, SETTINGS, "a") == 8
    assert tuned(prefers(2), IMAGE, SETTINGS, "a") == 8
    assert tuned(prefers(2), IMAGE, SETTINGS, "another model") == 2
    assert sorted(json.loads((cache / "batches.json").read_text()).values()) == [2, 8]


def test_a_batch_that_does_not_fit_into_memory_is_not_chosen(passes):
    def model(x):
        if len(x) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        passes(0.001)
        return x

    assert tuned(model, IMAGE, SETTINGS, "a") == 4


@pytest.mark.parametrize(("gigabytes", "batch"), [(80, 32), (11, 16), (4, 4), (1, 2)])
def test_on_a_gpu_the_batch_is_what_half_of_the_free_memory_holds(gigabytes, batch, monkeypatch):
    """An image takes 300 MiB beside 100 that all share."""
    tuning = "equibench.evaluation.batch_tuning"
    monkeypatch.setattr(f"{tuning}._peak", lambda model, image, n: (100 + 300 * n) * 2**20)
    monkeypatch.setattr(f"{tuning}._free", lambda device: gigabytes * 2**30)
    monkeypatch.setattr(f"{tuning}.placed", lambda model, *where: nullcontext(model))
    gpu = replace(SETTINGS, device=torch.device("cuda", 0), batch=32)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)
    assert fitting(torch.relu, IMAGE, gpu) == batch


def test_on_a_cpu_memory_decides_nothing():
    assert fitting(torch.relu, IMAGE, SETTINGS) == SETTINGS.batch


def test_little_work_is_not_worth_trying(tmp_path):
    assert not worth_tuning(CPU, 500)
    assert worth_tuning(CPU, 10_000)
    fields = {"models": ["unet-aps,width=0.05"], "suites": ["noise,n=2,size=32"]}
    rows = run(validated(fields, "test"), tmp_path / "run", progress=False).rows()
    assert set(rows["batch"]) == {AUTO_BATCH["cpu"]}


@pytest.mark.slow
def test_a_long_run_takes_the_tuned_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "equibench.runs.units.worth_tuning", lambda device, forwards: forwards == 24
    )
    monkeypatch.setattr("equibench.runs.units.tuned", lambda *conditions: 4)
    fields = {"models": ["unet-aps,width=0.05"], "suites": ["noise,n=2,size=32"]}
    rows = run(validated(fields, "test"), tmp_path / "run", progress=False).rows()
    assert set(rows["batch"]) == {4}
