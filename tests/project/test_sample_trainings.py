"""What ``tools/train_samples.py`` lets pass, and the table of what it let pass."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools/train_samples.py"))
faults, rise = TOOL["faults"], TOOL["rise"]
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
