"""What ``tools/train_samples.py`` lets pass, and the table of what it let pass."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools/train_samples.py"))
faults, rise, Network = TOOL["faults"], TOOL["rise"], TOOL["Network"]
GOOD = {
    "variant": "unet-baseline",
    "weights": "mri-sample",
    "psnr_gain": 2.5,
    "cost_2": 4.5,
    "cost_4": 2.4,
    "cost_8": 1.9,
    "cost_16": 0.4,
    "dead": 0.0,
    "rise": 0.07,
}


def test_a_network_that_gains_and_uses_all_levels_may_be_packaged():
    assert list(faults(GOOD)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"psnr_gain": 1.49}, "it gains 1.49 dB over its input, below 1.5"),
        ({"cost_16": 0.16}, "without stride 16 it loses 0.16 dB, below 0.2"),
        ({"cost_2": -0.1}, "without stride 2 it loses -0.10 dB, below 0.2"),
        ({"dead": 0.25}, "25% of a level's channels are dead, above 20%"),
        ({"rise": 0.3}, "its last quarter of epochs still gained 0.30 dB, above 0.2"),
    ],
)
def test_each_fault_is_said(change, fault):
    assert list(faults({**GOOD, **change})) == [fault]


def test_what_was_not_measured_is_a_fault_too():
    nothing = dict.fromkeys(GOOD, float("nan")) | {"weights": "mri-sample-da"}
    assert len(list(faults(nothing))) == 7


def test_ct_may_do_without_its_deepest_level():
    assert list(faults({**GOOD, "weights": "ct-sample", "cost_16": 0.0})) == []


def test_a_rise_is_of_the_last_quarter_over_the_one_before():
    assert rise([0, 0, 0, 0, 1, 3, 4, 6]) == pytest.approx(3)
    assert rise([5.0] * 20) == 0


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Train in no time: a file that says its seed; those of seeds in ``poor`` have a fault."""
    names = Network.package.__globals__
    poor, trained, starts = [], [], []

    def train(model, suite, recipe, out, *, seed, **_):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(str(seed))
        trained.append(seed)
        starts.append(model.weights)

    def line(file):
        return {**GOOD, "cost_16": 0.0} if int(file.read_text()) in poor else GOOD

    monkeypatch.setitem(names, "FOLDER", tmp_path)
    monkeypatch.setitem(names, "OTHERS", tmp_path / "others")
    monkeypatch.setitem(names, "train", train)
    monkeypatch.setitem(names, "line", line)
    seed_of = lambda file: SimpleNamespace(trained={"seed": int(file.read_text())})  # noqa: E731
    monkeypatch.setitem(names, "read_weights", seed_of)
    return SimpleNamespace(poor=poor, trained=trained, starts=starts)


@pytest.mark.parametrize(
    ("poor", "taken"), [([], 0), ([0], 1), ([0, 1], 2), ([0, 1, 2], 2)], ids=str
)
def test_the_first_seed_without_a_fault_is_packaged_or_else_the_last(train, poor, taken):
    train.poor += poor
    network = Network("mri-sample", "unet-baseline", augmented=True)
    network.package()
    assert network.packaged.name == "unet-baseline.mri-sample-da.safetensors"
    assert network.packaged.read_text() == str(taken)
    assert train.trained == list(range(taken + 1))


def test_no_network_is_trained_twice(train):
    train.poor.append(0)
    network = Network("mri-sample", "unet-baseline")
    network.package()
    network.package()
    assert [network.trained(seed).read_text() for seed in (0, 1, 2)] == ["0", "1", "2"]
    assert network.trained(1) == network.packaged
    assert train.trained == [0, 1, 2]


def test_networks_for_ct_begin_with_the_packaged_ones_for_mri(train):
    for suite, augmented in (("mri-sample", True), ("ct-sample", False), ("ct-sample", True)):
        Network(suite, "unet-baseline", augmented).package()
    assert train.starts == [None, "mri-sample", "mri-sample-da"]
