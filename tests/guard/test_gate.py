"""The gate: which figures are within limits, and which are a regression."""

import math
from dataclasses import replace

import pytest
from planted_baselines import CONDITIONS, SUITE, measured, said, scaled

from equibench.foundation.rounding import allowance, default_limit, tolerated
from equibench.guard.baseline import shift_conditions
from equibench.guard.gate import failed, judge


def test_the_same_figures_pass():
    verdicts = judge(measured(), measured())
    assert [verdict.mark for verdict in verdicts] == ["ok"] * 6


def test_a_regression_names_figure_values_limit_and_place():
    assert said(measured(), scaled(1.5)) == [
        "regression: net · noise · all: mean eq_nmse, was 0.25 and is 0.375, limit 0.275",
        "regression: net · noise · all: median eq_nmse, was 0.25 and is 0.375, limit 0.275",
        "regression: net · noise · all: worst eq_nmse, was 0.4 and is 0.6, limit 0.44, "
        "at b (4, -8)",
    ]


@pytest.mark.parametrize(("factor", "mark"), [(1.05, "ok"), (0.95, "ok"), (0.5, "improved")])
def test_ten_per_cent_are_tolerated_and_less_than_that_is_an_improvement(factor, mark):
    verdicts = judge(measured(), scaled(factor))
    assert {v.mark for v in verdicts if v.metric == "eq_nmse"} == {mark}
    assert not failed(verdicts)


@pytest.mark.parametrize(("ssim", "mark"), [(0.8, "regression"), (0.895, "ok"), (0.99, "improved")])
def test_ssim_is_judged_by_its_distance_to_one(ssim, mark):
    verdicts = judge(measured(), measured(ssim=ssim))
    assert {v.mark for v in verdicts if v.metric == "eq_ssim"} == {mark}
    assert {f"{v.limit:.4f}" for v in verdicts if v.metric == "eq_ssim"} == {"0.8900"}


@pytest.mark.parametrize(
    ("error", "floor", "passes"),
    [(1e-12, 0.0, True), (1e-10, 0.0, False), (9e-10, 1e-10, True), (2e-9, 1e-10, False)],
)
def test_a_baseline_of_zero_has_a_limit_and_ten_floors_are_never_beyond_it(error, floor, passes):
    zero = measured((0.0,) * 4, ssim=1.0, floor=floor)
    now = measured((error,) * 4, ssim=0.9999, floor=floor)
    assert (not said(zero, now)) == passes


def test_the_floor_is_the_baselines_so_that_imprecision_excuses_nothing():
    now = measured((1e-8,) * 4, ssim=1.0, floor=1e-8)
    assert len(said(measured((0.0,) * 4, ssim=1.0, floor=0.0), now)) == 3


def test_rounding_moves_a_large_error_by_more_than_a_small_one():
    limit = allowance("fp32", float("nan"))
    assert limit == default_limit("fp32")
    assert tolerated(0.0, limit) == pytest.approx(limit)
    assert tolerated(0.25, limit) - 0.25 == pytest.approx(2 * 0.5 * math.sqrt(limit), rel=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_fails(value):
    assert said(measured(), measured((0.1, 0.2, 0.3, value)))[0].startswith(
        f"regression: net · noise · all: mean eq_nmse, was 0.25 and is {value}, limit 0.275"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_was_not_finite_and_now_is_has_improved(value):
    verdicts = judge(measured((0.1, 0.2, 0.3, value)), measured())
    assert {v.mark for v in verdicts if v.metric == "eq_nmse"} == {"improved"} | (
        {"ok"} if value == math.inf else set()  # the median is not moved by one infinite value
    )


def test_a_missing_line_an_extra_one_and_a_lost_metric_fail():
    old, new = measured(), measured(model="other")
    assert said(old, new) == [
        "new: other · noise · all, the baseline has no such line",
        "missing: net · noise · all, it was not measured",
    ]
    key = ("net", "noise", "all")
    less = {key: {name: f for name, f in old.lines[key].items() if name != "eq_ssim"}}
    assert said(old, replace(old, lines=less)) == [
        "missing: net · noise · all: eq_ssim, it was not measured"
    ]
    assert said(replace(old, lines=less), old) == [
        "new: net · noise · all: eq_ssim, the baseline has no such metric"
    ]


def test_a_missing_row_and_an_extra_one_fail():
    old = measured()
    key = ("net", "noise", "all")
    fewer = {key: {n: f | {"rows": 3} if "rows" in f else f for n, f in old.lines[key].items()}}
    assert said(old, replace(old, lines=fewer))[0] == (
        "missing: net · noise · all: eq_nmse, 4 rows were and 3 are"
    )
    assert said(replace(old, lines=fewer), old)[0] == (
        "new: net · noise · all: eq_nmse, 3 rows were and 4 are"
    )


def test_other_definitions_are_not_comparable():
    old = measured()
    suites = {"noise": SUITE["noise"] | {"version": 2}}
    metrics = {**old.metrics, "eq_ssim": {**old.metrics["eq_ssim"], "version": 2}}
    conditions = CONDITIONS | {"precision": "tf32", "shifts": "all"}
    assert said(old, replace(old, suites=suites)) == [
        "not comparable: net · noise · all, suite: version was 1 and is 2"
    ]
    assert said(old, replace(old, metrics=metrics)) == [
        "not comparable: net · noise · all: eq_ssim, metric: version was 1 and is 2"
    ]
    assert said(old, replace(old, conditions=conditions)) == [
        "not comparable, precision was fp32 and is tf32; shifts was random:n=2,max=8 and is all"
    ]


def test_other_shifts_are_allowed_what_shifts_are_seen_to_do():
    other = CONDITIONS | {"seed": 1}
    now = replace(measured((0.2, 0.3, 0.4, 0.5)), conditions=other)
    assert said(measured(), replace(now, conditions=CONDITIONS))
    assert not said(measured(), now)
    far = replace(measured((9.0, 9.0, 9.0, 9.0)), conditions=other)
    assert len(said(measured(), far)) == 3


def test_only_plans_that_draw_have_a_seed_and_a_file_of_shifts_is_told_by_its_content():
    assert shift_conditions("random:n=2,max=8", "", 7)["seed"] == 7
    assert shift_conditions("paper", "", 7)["seed"] == 7
    assert shift_conditions("grid:max=8,step=3", "", 7)["seed"] is None
    first, second = (shift_conditions("file:s.csv", plan, 7) for plan in ("Fixed(1)", "Fixed(2)"))
    assert first["seed"] is None
    assert first["shifts"].startswith("file:s.csv (")
    assert first != second
