"""Confidence intervals of means: what they depend on, and where there is none, with the reason."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import betaincinv
from scipy.stats import binom, t

from equibench.reports.tables.summary_table import summary_table
from equibench.statistics.confidence_intervals import (
    CARRIERS,
    FEWEST,
    Interval,
    _allowed,
    _spread,
    interval,
)
from equibench.statistics.summary import summarize


def mean_of(values, **options):
    return interval(np.asarray(values, dtype=float), np.ones(len(values)), **options)


def lognormal(n, seed=0):
    return np.random.default_rng(seed).lognormal(0, 1, n)


def test_for_little_spread_the_interval_is_student_s():
    values = 1000 + np.random.default_rng(0).standard_normal(20)
    half = t.ppf(0.975, 19) * values.std(ddof=1) / np.sqrt(20)
    for best in (0.0, np.inf):
        found = mean_of(values, best=best)
        assert values.mean() - found.low == pytest.approx(half, rel=0.1)
        assert found.high - values.mean() == pytest.approx(half, rel=0.1)


def test_an_interval_reaches_further_towards_the_errors_that_were_not_seen():
    values = lognormal(12)
    found = mean_of(values)
    assert 0 < found.low < values.mean() < found.high
    assert found.high - values.mean() > 2 * (values.mean() - found.low)


def test_an_interval_scales_with_its_values_and_stays_on_the_right_side_of_the_best():
    values, ones = 0.01 * lognormal(30), np.ones(30)
    plain, small = mean_of(values), mean_of(values * 2.0**-40)
    assert (small.low, small.high) == (plain.low * 2.0**-40, plain.high * 2.0**-40)
    similar = interval(1 - values, ones, best=1.0)
    assert similar.high == pytest.approx(1 - plain.low, rel=1e-9)
    assert similar.low == pytest.approx(1 - plain.high, rel=1e-9)


def test_clusters_count_by_what_they_hold():
    values, counts = lognormal(20), np.random.default_rng(1).integers(1, 9, 20).astype(float)
    found = interval(values * counts, counts)
    thrice = interval(values * counts * 3, counts * 3)
    assert (thrice.low, thrice.high) == pytest.approx((found.low, found.high))
    assert found.low < (values * counts).sum() / counts.sum() < found.high


@pytest.mark.parametrize("n", range(FEWEST))
def test_fewer_than_eight_clusters_have_no_interval(n):
    found = mean_of(lognormal(n))
    assert np.isnan(found.low)
    assert found.reason == f"{n} {'cluster' if n == 1 else 'clusters'}, 8 needed"


def test_eight_clusters_have_an_interval():
    found = mean_of(lognormal(FEWEST))
    assert (found.reason, found.low < found.high) == ("", True)


def test_values_above_a_best_value_other_than_zero_stay_above_it():
    values, ones = lognormal(30), np.ones(30)
    plain, above = mean_of(values), interval(2 + values, ones, best=2.0)
    assert above.low == pytest.approx(2 + plain.low, rel=1e-9)
    assert above.high == pytest.approx(2 + plain.high, rel=1e-9)


@pytest.mark.parametrize("k", [5, 8, 30])
def test_few_values_are_given_the_spread_that_a_population_of_theirs_has_on_average(k):
    """Variances of k logarithms have a skewed law: theirs times (k − 1) / (k − 3), rounded up."""
    values = lognormal(k)
    expected = np.log(values).std(ddof=1) * np.sqrt((k - 1) / (k - 3))
    assert expected <= _spread(values) <= 1.02 * expected


@pytest.mark.slow
@pytest.mark.parametrize(("share", "n"), [(1.0, 8), (1.0, 30), (0.5, 40)])
def test_95_percent_of_intervals_cover_the_mean_of_a_lognormal_population(share, n):
    """Of which a share carries the mean; 400 samples have a standard error of 1.1 percent."""
    random, covered = np.random.default_rng(0), []
    for _ in range(400):
        carries = random.random(n) < share
        found = mean_of(np.where(carries, random.lognormal(0, 1, n), 1e-15), beyond=carries)
        covered.append(found.low <= share * np.exp(0.5) <= found.high)
    assert 0.95 - 0.044 < np.mean(covered) < 0.95 + 0.044


def test_a_mean_that_few_clusters_carry_has_no_interval():
    values = np.r_[1e-3 * lognormal(CARRIERS - 1), np.full(40, 1e-15)]
    assert mean_of(values).reason == "carried by 4 of 44 clusters, 5 needed"
    assert mean_of(np.r_[1e-3, values]).reason == ""


def test_rounding_has_no_interval():
    values = 1e-15 * lognormal(30)
    none = np.zeros(30, dtype=bool)
    assert mean_of(values, beyond=none).reason == "within rounding"
    assert mean_of(values).reason == ""  # nobody said that it is rounding


def test_a_metric_without_a_best_value_has_no_interval_where_some_clusters_are_rounding():
    values = np.r_[np.full(10, 60.0), np.full(10, 150.0)]
    beyond = values < 100
    found = mean_of(values, best=np.inf, beyond=beyond)
    assert found.reason == "within rounding in 10 of 20 clusters"


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_has_no_interval(value):
    assert mean_of([value, *lognormal(20)]).reason == "not finite"


def test_a_constant_has_an_interval_of_no_width():
    assert mean_of(np.full(9, 0.5)) == Interval(0.5, 0.5)


def test_the_lower_bound_makes_up_for_looking_only_where_there_are_enough_carriers():
    """Of samples with five carriers and more, at most 5 % have a share that is bounded wrongly."""
    n = 50
    for k in range(CARRIERS + 1, 15):
        bound = _allowed(n, k) * betaincinv(k, n - k + 1, 0.05)
        given = binom.sf(CARRIERS - 1, n, bound)
        assert binom.sf(k - 1, n, bound) / given == pytest.approx(0.05, rel=1e-6)
    assert _allowed(n, CARRIERS) == 0
    assert _allowed(n, n) == 1


_INTERVALS = """
import numpy as np
from equibench.statistics.confidence_intervals import interval
random = np.random.default_rng(0)
counts = random.integers(1, 9, 500).astype(float)
for _ in range(5):
    print(interval(counts * random.lognormal(-8, 2, 500), counts))
"""


@pytest.mark.slow
def test_intervals_depend_neither_on_threads_nor_on_what_was_asked_before():
    found = {
        subprocess.run(
            [sys.executable, "-c", text],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout.splitlines()[-1]
        for threads, text in (("1", _INTERVALS), ("2", _INTERVALS))
    }
    random = np.random.default_rng(0)
    counts = random.integers(1, 9, 500).astype(float)
    last = [random.lognormal(-8, 2, 500) for _ in range(5)][-1]
    assert found == {str(interval(counts * last, counts)).encode()}


# In summaries


def rows(errors, cluster=None, ssim=None):
    """Rows of one model: one case a line, one column a shift."""
    lines = []
    for case, of_case in enumerate(errors):
        base = {"model": "net", "suite": "images", "group": "all", "case": str(case)}
        base |= {"cluster": cluster[case] if cluster else str(case), "frame": "canonical"}
        base |= {"precision": "fp32", "near_ties": 0, "floor_nmse": 1e-15, "evidence": ""}
        base |= {"covers": 1, "spot_deviation": np.nan}
        for draw, error in enumerate([1e-15, *of_case]):
            place = {"draw": draw, "dy": draw, "dx": 0}
            lines.append(base | place | {"eq_nmse": error, "eq_ssim": 1 - error / 10})
    return pd.DataFrame(lines)


def test_the_interval_is_over_clusters():
    errors = lognormal(40).reshape(-1, 1) * 1e-3
    alone = summarize(rows(errors)).iloc[0]
    patients = [str(case // 2) for case in range(40)]
    by_patient = summarize(rows(np.repeat(errors[:20], 2, axis=0), cluster=patients)).iloc[0]
    of_patients = summarize(rows(errors[:20])).iloc[0]
    assert (alone["clusters"], by_patient["clusters"]) == (40, 20)
    for bound in ("eq_nmse_ci_low", "eq_nmse_ci_high"):
        assert by_patient[bound] == pytest.approx(of_patients[bound])


def test_where_an_interval_would_stand_there_is_the_reason_in_table_and_csv():
    summary = summarize(rows([[1e-3], [2e-3], [3e-3]]))
    assert np.isnan(summary["eq_nmse_ci_low"].item())
    assert summary["eq_nmse_ci_reason"].item() == "3 clusters, 8 needed"
    text = summary_table(summary, statistics=["mean", "ci"])
    assert "| no interval: 3 clusters, 8 needed |" in text.splitlines()[2]
    assert ",3 clusters, 8 needed" in summary_table(summary, format="csv").replace('"', "")


def test_rare_flips_are_told_from_errors_by_what_rounding_may_do():
    flips = np.full((40, 3), 1e-15)
    flips[:3, 1] = 1e-3
    summary = summarize(rows(flips)).iloc[0]
    for metric in ("eq_nmse", "eq_ssim"):
        assert summary[f"{metric}_ci_reason"] == "carried by 3 of 40 clusters, 5 needed"
    flips[:, 2] = 1e-3 * lognormal(40)
    summary = summarize(rows(flips)).iloc[0]
    assert summary["eq_nmse_ci_low"] < summary["eq_nmse_mean"] < summary["eq_nmse_ci_high"]
    assert summary["eq_ssim_ci_low"] < summary["eq_ssim_mean"] < summary["eq_ssim_ci_high"] < 1
