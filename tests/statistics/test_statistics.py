"""Uncertainty of means, paired tests of models, and how often shifts change more than rounding."""

import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, norm, t

import equibench as eb
from equibench.errors import UsageError
from equibench.guard.comparison import compare_models
from equibench.reports.tables.summary_table import summary_table
from equibench.statistics.averages import exact_sum
from equibench.statistics.confidence_intervals import intervals
from equibench.statistics.paired_tests import holm, paired
from equibench.statistics.summary import summarize


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [12 * [1], 30 * [1, 4]], ids=["12 images", "60 volumes"])
def test_95_percent_intervals_cover_between_92_and_98_percent(sizes):
    random, counts = np.random.default_rng(0), np.array(sizes, dtype=float)
    covered = []
    for _ in range(1000):
        # members of a cluster share most of their value
        shared = random.standard_normal(len(counts))
        sums = counts * shared + np.sqrt(counts) * 0.3 * random.standard_normal(len(counts))
        ((low, high),) = intervals(sums[:, None], counts)
        covered.append(low <= 0 <= high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_intervals_that_take_cases_of_a_cluster_for_independent_cover_far_less():
    random, covered = np.random.default_rng(0), []
    for _ in range(200):
        values = np.repeat(random.standard_normal(12), 10) + 0.1 * random.standard_normal(120)
        ((low, high),) = intervals(values[:, None], np.ones(120))
        covered.append(low <= 0 <= high)
    assert np.mean(covered) < 0.6


def test_one_cluster_has_no_interval():
    assert np.isnan(intervals(np.ones((1, 1)), np.ones(1))).all()


def test_a_constant_has_an_interval_of_no_width_and_what_is_not_finite_none():
    counts = np.array([1.0, 2, 3, 4])
    sums = np.column_stack((counts * 0.5, counts * [1, np.inf, 2, 3], counts * [1, np.nan, 2, 3]))
    assert intervals(sums, counts)[0].tolist() == [0.5, 0.5]
    assert np.isnan(intervals(sums, counts)[1:]).all()


_INTERVALS = """
import numpy as np
from equibench.statistics.confidence_intervals import intervals
random = np.random.default_rng(0)
counts = random.integers(1, 9, 5000).astype(float)
sums = counts[:, None] * random.lognormal(-8, 5, (5000, 6))
alone = [intervals(sums[:, [column]], counts)[0].tolist() for column in range(6)]
assert intervals(sums, counts).tolist() == alone
print(alone)
"""


def test_intervals_depend_neither_on_threads_nor_on_other_columns():
    found = {
        subprocess.run(
            [sys.executable, "-c", _INTERVALS],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in "12"
    }
    assert len(found) == 1


def test_an_interval_keeps_the_digits_of_small_values_beside_a_huge_one():
    values = np.r_[1.0, 1e-30 * np.arange(1.0, 30)]
    ((low, _),) = intervals(values[:, None], np.ones(30))
    assert 5e-30 < low < 15e-30


def test_an_interval_is_that_of_scipy_s_bootstrap_at_the_expanded_level():
    random = np.random.default_rng(0)
    counts = random.integers(1, 9, 100).astype(float)
    sums = counts * random.standard_normal(100)
    level = 2 * norm.cdf(np.sqrt(100 / 99) * t.ppf(0.975, 99)) - 1
    wanted = bootstrap(
        (sums, counts), lambda s, c, axis: s.sum(axis) / c.sum(axis), paired=True,
        method="percentile", confidence_level=level, n_resamples=50_000, batch=1000, rng=0,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(intervals(sums[:, None], counts)[0], wanted, atol=0.02)


def test_the_paired_test_finds_differences_that_are_none_in_under_6_percent():
    random = np.random.default_rng(0)
    found = [paired(random.standard_normal(20)).p < 0.05 for _ in range(2000)]
    assert np.mean(found) < 0.06


def test_holm_s_correction_keeps_false_alarms_of_a_family_under_6_percent():
    random = np.random.default_rng(0)
    found = [
        min(holm([paired(random.standard_normal(15)).p for _ in range(8)])) < 0.05
        for _ in range(500)
    ]
    assert np.mean(found) < 0.06


def rows(errors, cluster=None, covers=1, floor=1e-15):
    """Rows of one model: one case a line, one column a shift."""
    lines = []
    for case, of_case in enumerate(errors):
        base = {"model": "net", "suite": "images", "group": "all", "case": str(case)}
        base |= {"cluster": cluster[case] if cluster else str(case), "frame": "canonical"}
        base |= {"precision": "fp32", "near_ties": 0, "floor_nmse": floor, "exact": False}
        base |= {"covers": covers, "spot_deviation": np.nan}
        for draw, error in enumerate([floor, *of_case]):
            lines.append(base | {"draw": draw, "dy": draw, "dx": 0, "eq_nmse": error})
    return pd.DataFrame(lines)


def test_flips_are_the_shifts_above_rounding_and_what_they_make_of_the_mean():
    (line,) = summarize(rows([[1e-15, 1e-15, 3e-3], [1e-15, 1e-3, 1e-15]])).to_dict("records")
    assert line["flips"] == pytest.approx(2 / 6)
    assert line["flips_error"] == pytest.approx(1)
    assert line["eq_nmse_median"] == 1e-15


def test_what_is_not_finite_is_no_rounding():
    assert summarize(rows([[np.nan, 1e-15]]))["flips"].item() == 0.5


def test_the_quantile_is_what_95_percent_are_no_worse_than():
    summary = summarize(rows([np.arange(1, 101.0)]))
    assert summary["eq_nmse_q95"].item() == 95


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e250])
def test_the_exact_sum_is_that_of_the_standard_library(scale):
    random = np.random.default_rng(0)
    values = random.standard_normal(5000) * 10 ** random.uniform(-30, 30, 5000) * scale
    assert exact_sum(values) == math.fsum(values)
    assert exact_sum(np.concatenate((values, -values))) == 0
    assert exact_sum(np.zeros(3)) == 0


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_rows_that_cover_several_shifts_count_as_if_they_were_written_out(share):
    random = np.random.default_rng(0)
    covers = np.where(random.random(300) < share, 1, 7)
    short = rows([random.random(300)]).assign(covers=[7, *covers])
    long = short.loc[[0, *np.repeat(np.arange(1, 301), covers)]].assign(covers=1)
    for statistic in ("median", "q95", "worst"):
        name = f"eq_nmse_{statistic}"
        assert summarize(short)[name].item() == summarize(long)[name].item()


def test_the_interval_is_over_clusters():
    errors = [[1.0], [1.1], [5.0], [5.1], [9.0], [9.1]]
    alone = summarize(rows(errors))
    by_patient = summarize(rows(errors, cluster=list("aabbcc")))
    width = [s["eq_nmse_ci_high"].item() - s["eq_nmse_ci_low"].item() for s in (alone, by_patient)]
    assert width[1] > width[0]
    assert np.isnan(summarize(rows(errors, cluster=6 * ["a"]))["eq_nmse_ci_low"].item())


def test_tables_show_the_statistics_that_are_asked_for():
    summary = summarize(rows([[1e-15, 2e-3], [1e-15, 4e-3]]))
    text = summary_table(summary, statistics=["mean", "ci", "q95", "flips", "shifts"])
    heading, _, line = text.splitlines()[:3]
    assert [cell.strip() for cell in heading.strip("|").split("|")] == [
        "suite", "model", "NMSE ↓ mean", "95 % interval", "95 % quantile", "flips", "shifts",
    ]  # fmt: skip
    assert [cell.strip() for cell in line.strip("|").split("|")][-2:] == ["50.00%", "4"]


def test_an_unknown_statistic_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="no statistic is called 'mode': choose mean, ci, median"):
        summary_table(pd.DataFrame(), statistics=["mode"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network with its twin, and another that is worse."""
    models = [
        "unet-lpf-5,width=0.05",
        "unet-lpf-5,width=0.05,label=twin",
        "unet-baseline,width=0.05",
    ]
    config = eb.RunConfig(models=models, suites=("noise,n=8,size=32",), shifts="random:n=3,max=8")
    return eb.run(config, tmp_path_factory.mktemp("models") / "run", progress=False)


def test_models_of_one_run_are_compared_on_the_same_cases_and_shifts(run):
    verdicts = {(v.model, v.metric): v for v in compare_models(run, "unet-lpf-5,width=0.05")}
    assert verdicts["twin", "eq_nmse"].mark == "ok"
    worse = verdicts["unet-baseline,width=0.05", "eq_nmse"]
    assert worse.mark == "worse"
    assert worse.test.effect == 1
    assert worse.test.p == pytest.approx(4 * 2 / 2**8)  # Holm: four lines


def test_a_reference_that_the_run_lacks_is_refused(run):
    with pytest.raises(
        UsageError, match=r"has no model 'other'; it has unet-lpf-5,width=0.05, twin"
    ):
        compare_models(run, "other")
