"""What the gate excuses: other shifts by as much as shifts do, quality by nothing."""

from math import sqrt

import numpy as np
import pandas as pd
import pytest

from equibench.guard.baseline import Baseline
from equibench.guard.gate import judge

SUITE = {"images": {"name": "images", "version": 1, "arguments": {}, "cases": "4 (abc)"}}


def measured(errors, quality=0.9, seed=0):
    """Four cases with two shifts each, and reconstruction quality (SSIM)."""
    cases = np.repeat(list("abcd"), 3)
    draw = np.tile([0, 1, 2], 4)
    eq_nmse = np.zeros(12)
    eq_nmse[draw > 0] = errors
    rows = pd.DataFrame(
        {
            "model": "net", "suite": "images", "group": "all", "cluster": cases, "case": cases,
            "draw": draw, "dy": draw, "dx": 0, "frame": "canonical", "precision": "fp32",
            "eq_nmse": eq_nmse, "ssim": np.where(draw == 0, quality, np.nan), "near_ties": np.nan,
            "floor_nmse": 1e-15, "covers": 1, "evidence": "", "spot_deviation": np.nan,
        }
    )  # fmt: skip
    shifts = {"frame": "canonical", "precision": "fp32", "shifts": "random:n=2,max=8"}
    return Baseline.of_rows(rows, shifts | {"seed": seed}, SUITE)


def marks(before, after):
    return {(v.metric, v.statistic): v.mark for v in judge(before, after)}


def test_an_equivariant_network_fails_when_its_reconstructions_get_worse():
    found = marks(measured(8 * [1e-14]), measured(8 * [1e-14], quality=0.8))
    assert found["eq_nmse", "mean"] == "ok"
    assert {found["ssim", statistic] for statistic in ("mean", "median", "worst")} == {"regression"}


def test_another_seed_may_move_a_mean_by_four_standard_errors_and_others_by_four_spreads():
    errors = np.linspace(0.1, 0.8, 8)
    before, after = measured(errors), measured(errors, seed=1)
    limits = {v.statistic: v.limit for v in judge(before, after) if v.metric == "eq_nmse"}
    spread = float(np.std(errors))
    # of the difference of two means over eight shifts each
    standard_error = sqrt(spread**2 / 8 + spread**2 / 8)
    assert limits["mean"] == pytest.approx(1.1 * 0.45 + 4 * standard_error)
    assert limits["median"] == pytest.approx(1.1 * 0.45 + 4 * spread)
    assert limits["worst"] == pytest.approx(1.1 * 0.8 + 4 * spread)


def test_the_same_shifts_and_reconstructions_are_not_excused_by_the_spread():
    errors = np.linspace(0.1, 0.8, 8)
    same = {(v.metric, v.statistic): v.limit for v in judge(measured(errors), measured(errors))}
    assert same["eq_nmse", "mean"] == pytest.approx(1.1 * 0.45)
    other = judge(measured(errors), measured(errors, seed=1))
    limits = {(v.metric, v.statistic): v.limit for v in other}
    # ten per cent of its distance from one
    assert limits["ssim", "mean"] == same["ssim", "mean"] == pytest.approx(0.89)
