"""One rule for means and quantiles, whoever asks, and one for what rounding may do."""

import math

import numpy as np
import pandas as pd
import pytest

import equibench as eb
from equibench.evidence.residue_classes import Residues, settled
from equibench.foundation.rounding import allowance
from equibench.guard.assertion import statistic
from equibench.statistics.averages import exact_sum, mean, quantiles
from equibench.statistics.summary import columns


@pytest.fixture(scope="module")
def result():
    """Of a network without equivariance, some shifts standing for several."""
    gain = np.linspace(0.5, 1, 16).astype(np.float32)
    import torch

    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return eb.evaluate(
        lambda x: x * torch.from_numpy(gain), eb.ImageCases(images), shifts="random:n=11,max=8",
        progress=False, device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize("wanted", ["mean", "median", "q95", "worst"])
@pytest.mark.parametrize("name", ["eq_nmse", "eq_ssim"])
def test_limits_are_held_against_the_figures_of_the_summary(result, name, wanted):
    rows = result.rows[result.rows["draw"] > 0]
    (column,) = [c for c in columns(list(rows)) if c.name == name]
    values, covers = rows[name].to_numpy(float), rows["covers"].to_numpy(np.int64)
    assert statistic(values, wanted, column, covers) == result.summary[f"{name}_{wanted}"].item()


def test_a_quantile_is_a_value_that_so_many_are_no_worse_than():
    random = np.random.default_rng(0)
    for n in (1, 7, 20, 33, 1000):
        values, ones = random.random(n), np.ones(n, dtype=np.int64)
        for percent in (1, 7, 50, 95, 99):
            for higher in (False, True):
                _, (found,) = quantiles(values, ones, [percent], higher)
                no_worse = values >= found if higher else values <= found
                better = values > found if higher else values < found
                assert found in values
                assert 100 * no_worse.sum() >= percent * n > 100 * better.sum()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9, 10])
def test_the_median_is_numpy_s_of_every_value_as_often_as_it_stands_for(n):
    random = np.random.default_rng(n)
    values, covers = random.random(n), random.integers(1, 4, n)
    for counts in (np.ones(n, dtype=np.int64), covers):
        for higher in (False, True):
            median, _ = quantiles(values, counts, [], higher)
            assert median == np.median(np.repeat(values, counts))


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e250])
def test_the_exact_sum_is_that_of_the_standard_library(scale):
    random = np.random.default_rng(0)
    values = random.standard_normal(5000) * 10 ** random.uniform(-30, 30, 5000) * scale
    assert exact_sum(values) == math.fsum(values)
    assert exact_sum(-np.abs(values)) == math.fsum(-np.abs(values))
    assert exact_sum(np.concatenate((values, -values))) == 0
    assert exact_sum(np.zeros(3)) == 0


def test_the_sum_of_nothing_is_zero_and_that_of_negative_values_is_negative():
    assert exact_sum(np.array([])) == 0
    assert exact_sum(np.array([-0.1, -0.2, -0.3])) == math.fsum([-0.1, -0.2, -0.3])


def test_a_mean_is_the_sum_over_the_number():
    values, covers = np.array([0.1, 0.2, 0.6]), np.array([1, 3, 4])
    assert mean(values, covers) == math.fsum([0.1, 3 * 0.2, 4 * 0.6]) / 8


def test_a_mean_with_an_infinite_value_is_infinite():
    ones = np.ones(2, dtype=np.int64)
    assert mean(np.array([1.0, np.inf]), ones) == np.inf
    assert np.isnan(mean(np.array([1.0, np.nan]), ones))


def test_between_two_infinities_there_is_no_mean_and_no_median():
    values, once = np.array([-np.inf, np.inf]), np.ones(2, dtype=np.int64)
    assert math.isnan(mean(values, once))
    median, (best,) = quantiles(values, once, [50], higher_is_better=False)
    assert (math.isnan(median), best) == (True, -np.inf)


def test_values_that_stand_for_several_count_as_often():
    random = np.random.default_rng(0)
    values, covers = random.random(50), random.integers(1, 9, 50)
    long = np.repeat(values, covers)
    ones = np.ones(len(long), dtype=np.int64)
    for higher in (False, True):
        assert quantiles(values, covers, [5, 95], higher) == quantiles(long, ones, [5, 95], higher)
    assert mean(values, covers) == mean(long, ones)


def test_a_spot_check_may_deviate_by_what_is_rounding_elsewhere():
    plan, precision, floor = Residues((1, 1), spots=1), "fp32", 1e-15
    for factor, word in ((0.99, "sampled"), (1.01, "")):
        error = factor * allowance(precision, floor)
        rows = pd.DataFrame(
            {"case": "a", "draw": [0, 1, 2], "dy": [0, 0, 1], "dx": 0, "covers": 256}
            | {"eq_nmse": [floor, 0.0, error], "floor_nmse": floor, "precision": precision}
        )
        assert set(settled(rows, plan)["evidence"]) == {word}
