"""Where exactly the gate's limits lie, and what it says of outputs that have changed."""

import copy
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from equibench.errors import UsageError
from equibench.foundation.rounding import default_limit
from equibench.guard.baseline import Baseline
from equibench.guard.gate import failed, judge, worse
from equibench.guard.tolerance import Tolerance, parse_tolerance, pick, read_tolerances

SUITE = {"images": {"name": "images", "version": 1, "arguments": {}, "cases": "2 (abc)"}}
CONDITIONS = {"frame": "canonical", "precision": "fp32", "shifts": "random:n=2,max=8", "seed": 0}


def measured(nmse=0.25, ssim=0.75, model="net", suites=("images",), **changes):
    """Two cases with two shifts each, all of one error (or of four)."""
    parts = [
        pd.DataFrame(
            {
                "model": model, "suite": suite, "group": "all", "cluster": list("aaabbb"),
                "case": list("aaabbb"), "draw": [0, 1, 2, 0, 1, 2], "dy": range(6), "dx": 0,
                "frame": "canonical", "precision": "fp32",
                "eq_nmse": np.insert(np.broadcast_to(nmse, 4), [0, 2], 0.0), "eq_ssim": ssim,
                "near_ties": np.nan, "floor_nmse": 0.0, "covers": 1, "evidence": "",
                "spot_deviation": np.nan,
            }
        )
        for suite in suites
    ]  # fmt: skip
    found = Baseline.of_rows(pd.concat(parts), CONDITIONS, dict.fromkeys(suites, SUITE["images"]))
    return replace(found, **changes)


def marks(before, after, *tolerances, metric="eq_nmse"):
    rules = [parse_tolerance(text) for text in tolerances]
    return {v.mark for v in judge(before, after, rules) if v.metric == metric}


def limit(before, *tolerances, metric="eq_nmse"):
    rules = [parse_tolerance(text) for text in tolerances]
    (found,) = {v.limit for v in judge(before, before, rules) if v.metric == metric}
    return found


def test_what_a_tolerance_allows_in_any_case_comes_on_top_of_its_share():
    nmse = limit(measured(), "eq_nmse=0.2,absolute=0.05")
    ssim = limit(measured(), "eq_ssim=0.2,absolute=0.05", metric="eq_ssim")
    assert nmse == pytest.approx(0.25 * 1.2 + 0.05)
    assert ssim == pytest.approx(0.75 - 0.25 * 0.2 - 0.05)


def test_a_figure_at_its_limit_passes_and_the_next_number_fails():
    edge = limit(measured())
    assert marks(measured(), measured(nmse=edge)) == {"ok"}
    assert marks(measured(), measured(nmse=np.nextafter(edge, 1))) == {"regression"}


def test_an_update_would_make_acceptable_what_is_worse_and_what_is_gone():
    found = judge(measured(suites=("images", "others")), measured(nmse=0.5), [])
    assert {v.mark for v in worse(found)} == {"regression", "missing"}
    better = judge(measured(), measured(nmse=0.1, suites=("images", "others")), [])
    assert {v.mark for v in better} > {"improved", "new"}
    assert worse(better) == []


def test_what_is_better_by_less_than_the_tolerance_has_not_improved():
    assert marks(measured(), measured(nmse=0.25 * 0.91)) == {"ok"}
    assert marks(measured(), measured(nmse=0.25 * 0.89)) == {"improved"}
    assert marks(measured(), measured(nmse=0.25 * 0.7), "eq_nmse=0.5") == {"ok"}
    # a quarter of its distance from one
    assert marks(measured(), measured(ssim=0.8), metric="eq_ssim") == {"improved"}
    assert marks(measured(), measured(ssim=0.8), "eq_ssim=0.3", metric="eq_ssim") == {"ok"}


def test_what_other_shifts_may_do_is_no_improvement_either():
    before = measured(nmse=(0.1, 0.2, 0.3, 0.4))
    better = measured(nmse=(0.05, 0.1, 0.15, 0.2))
    assert marks(before, better) == {"improved"}
    assert marks(before, replace(better, conditions=CONDITIONS | {"seed": 1})) == {"ok"}


def test_an_error_that_rounding_can_make_of_another_is_neither_better_nor_worse():
    rounding = default_limit("fp32")
    for before, after in ((0.0, rounding), (rounding, 0.0), (rounding, 3 * rounding)):
        assert marks(measured(nmse=before), measured(nmse=after)) == {"ok"}
    assert marks(measured(nmse=rounding), measured(nmse=5 * rounding)) == {"regression"}
    assert marks(measured(nmse=5 * rounding), measured(nmse=0.0)) == {"improved"}


def test_a_change_of_ssim_is_excused_only_where_every_shift_is_at_rounding():
    rounding = default_limit("fp32")
    before = measured(nmse=rounding, ssim=1.0)
    assert marks(before, measured(nmse=rounding, ssim=0.9), metric="eq_ssim") == {"ok"}
    one = measured(nmse=(0.0, 0.0, 0.0, 2 * rounding), ssim=0.9)
    assert marks(before, one, metric="eq_ssim") == {"regression"}


def test_the_worst_of_what_is_rounding_is_nowhere():
    rounding = default_limit("fp32")
    for nmse, note in ((rounding, ""), (2 * rounding, "at a (1, 0)")):
        found = {v.statistic: v.note for v in judge(measured(), measured(nmse=nmse))
                 if v.metric == "eq_nmse"}  # fmt: skip
        assert found == {"mean": "", "median": "", "worst": note}


def test_a_loss_of_one_suite_is_named_and_the_others_are_judged():
    both, one = measured(suites=("images", "photos")), measured()
    found = [str(v) for v in judge(both, one) if not v.passed]
    assert found == ["missing: net · photos · all, it was not measured"]
    assert len(judge(both, one)) == 7


def test_what_is_not_comparable_has_no_figure():
    changed = replace(measured(), suites={"images": SUITE["images"] | {"cases": "3 (abc)"}})
    (verdict,) = judge(measured(), changed)
    assert str(verdict) == (
        "not comparable: net · images · all, suite: cases was 2 (abc) and is 3 (abc)"
    )
    assert (verdict.before, verdict.after, verdict.limit) == (None, None, None)


# Outputs: the energy of all, then projections of each


def outputs(before, after, precision="fp32"):
    conditions = CONDITIONS | {"precision": precision}
    first, second = (measured(conditions=conditions, outputs=sketch) for sketch in (before, after))
    return [v for v in judge(first, second) if v.metric == "outputs"]


def test_outputs_that_differ_by_more_than_rounding_have_changed():
    (verdict,) = outputs([4.0, 1.0, 1.0], [4.0, 1.0, 1.2])
    assert str(verdict) == (
        "changed: net · images: outputs, is 0.005, limit 1.279e-11, NMSE between the unshifted "
        "outputs and the baseline's, estimated"
    )
    assert not verdict.passed


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_outputs_may_move_by_rounding(precision):
    step = math.sqrt(default_limit(precision))
    (verdict,) = outputs([1.0, 0.0], [1.0, step * (1 - 1e-9)], precision)
    assert (verdict.mark, verdict.note) == ("ok", "")
    (verdict,) = outputs([1.0, 0.0], [1.0, step * (1 + 1e-9)], precision)
    assert verdict.mark == "changed"


def test_outputs_at_their_limit_have_not_changed():
    edge = default_limit("bf16")
    (verdict,) = outputs([1 / edge, 0.0], [1 / edge, 1.0], "bf16")
    assert (verdict.after, verdict.mark) == (edge, "ok")


def test_outputs_that_are_not_finite_have_changed():
    (verdict,) = outputs([1.0, 1.0], [1.0, math.nan])
    assert verdict.mark == "changed"


def test_another_sketch_of_outputs_is_not_comparable_and_none_is_no_figure():
    (verdict,) = outputs([1.0, 1.0], [1.0, 1.0, 1.0])
    assert str(verdict) == "not comparable: net · images: outputs, another sketch of them"
    assert outputs([1.0, 1.0], []) == outputs([], [1.0, 1.0]) == []


# Tolerances


def test_without_rules_ten_per_cent_are_allowed_and_nothing_on_top():
    assert pick([], metric="eq_nmse") == Tolerance(relative=0.1, absolute=0.0)


def test_a_rule_is_about_one_figure_only_where_all_its_patterns_fit():
    rule = Tolerance(metric="eq_*", suite="mri-?")
    assert rule.covers(metric="eq_nmse", suite="mri-1")
    assert not rule.covers(metric="nmse", suite="mri-1")
    assert not rule.covers(metric="eq_nmse", suite="mri-10")
    assert not rule.covers(metric="EQ_NMSE", suite="mri-1")


@pytest.mark.parametrize("text", ["eq_nmse", "=0.1", "statistic=0.1", ""])
def test_a_tolerance_begins_with_a_metric_and_its_share(text):
    with pytest.raises(UsageError) as refused:
        parse_tolerance(text)
    assert str(refused.value) == (
        f"--tolerance {text!r} begins with no metric: write eq_nmse=0.2,suite=mri-sample"
    )


def test_a_rule_that_covers_nothing_is_named_with_what_there_is():
    both = measured(suites=("photos", "images"))
    for rule, said in (
        ("eq_nmse=0.1,suite=mri", "suite is one of: images, photos"),
        ("eq_nmse=0.1,statistic=mode", "statistic is one of: mean, median, worst"),
        ("eq_nmse=0.1,group=PD", "group is one of: all"),
        ("eq_nmse=0.1,model=nat", "model is one of: net"),
        ("psnr=0.1", "metric is one of: eq_nmse, eq_ssim"),
    ):
        with pytest.raises(UsageError, match=f"covers no figure; {said}$"):
            judge(both, both, [parse_tolerance(rule)])


def test_a_rule_may_cover_figures_of_the_baseline_alone():
    assert marks(measured(suites=("images", "old")), measured(), "eq_nmse=0.1,suite=old") == {"ok"}


def test_every_rule_must_cover_something():
    with pytest.raises(UsageError, match="metric = psnr covers no figure"):
        judge(measured(), measured(), [parse_tolerance("eq_nmse=1"), parse_tolerance("psnr=1")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "{} is no TOML: 'utf-8' codec can't decode byte 0xff"),
        (b"other = 1\n[[tolerance]]\n", "{}: it takes [[tolerance]] tables and nothing else"),
        (b"tolerance = 1", "{}: it takes [[tolerance]] tables and nothing else"),
        (
            b"[[tolerance]]\n[[tolerance]]\nrelative = 'much'",
            "{}, [[tolerance]] 2: relative = 'much': input should be a valid number",
        ),
        (
            b"[[tolerance]]\nxyz = 1",
            "{}, [[tolerance]] 1: there is no field 'xyz'. There are: relative, absolute",
        ),
    ],
)
def test_a_file_of_rules_that_cannot_be_is_refused(tmp_path, content, message):
    file = tmp_path / "gate.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_tolerances(file)
    assert str(refused.value).startswith(message.format(file))


def test_an_empty_file_of_rules_has_none(tmp_path):
    (tmp_path / "gate.toml").write_text("")
    assert read_tolerances(tmp_path / "gate.toml") == []


def repeating(kind, own=0.0, floor=0.0, **changes):
    """What is measured of a network that does not give the same once more."""
    found = measured(**changes)
    lines = copy.deepcopy(found.lines)
    for line in lines.values():
        line["floor"] |= {"nmse": floor, "repeatability": kind, "repeat_nmse": own}
    return replace(found, lines=lines)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", []),
        ("random", "random", []),
        ("", "random", [("regression", "it was repeatable and is random")]),
        ("random", "", [("improved", "it was random and is repeatable")]),
        ("random", "state", [("regression", "it was random and is state")]),
    ],
)
def test_a_network_that_gives_the_same_no_longer_is_a_regression(before, after, expected):
    found = judge(repeating(before), repeating(after))
    of_it = [v for v in found if v.metric == "repeatability"]
    assert [(v.mark, v.note) for v in of_it] == expected
    assert {(v.model, v.suite, v.group, v.statistic) for v in of_it} <= {
        ("net", "images", "all", "")
    }
    worst = {v.note for v in found if (v.metric, v.statistic) == ("eq_nmse", "worst")}
    assert worst == {", ".join(filter(None, ("at a (1, 0)", after)))}


def test_what_a_network_does_not_repeat_may_move_its_errors_as_far():
    before = repeating("random", own=0.01)
    (allowed,) = {v.limit for v in judge(before, before) if v.metric == "eq_nmse"}
    assert allowed == pytest.approx((0.25**0.5 + 0.01**0.5) ** 2)
    assert allowed > limit(measured())
    assert limit(repeating("random", own=math.nan)) == limit(repeating("random"))
    # its floor is its own randomness, and no rounding
    assert limit(repeating("random", floor=0.01)) == limit(repeating("random"))
    assert limit(repeating("", floor=0.01)) > limit(repeating(""))


def test_transforms_of_both_sides_must_be_the_same_and_others_are_lines_of_their_own():
    def under(**transforms):
        return measured(conditions={**CONDITIONS, "transforms": transforms})

    assert failed(judge(under(d4="D4(grid=1)"), under(d4="D4(grid=1)", crop="Crop(64)"))) == []
    assert failed(judge(measured(), under(d4="D4(grid=1)"))) == []
    (verdict,) = judge(under(d4="D4(grid=1)"), under(d4="D4(grid=2)"))
    assert verdict.mark == "not comparable"
    assert {verdict.model, verdict.suite, verdict.group, verdict.metric} == {""}
    assert verdict.note == "d4 was D4(grid=1) and is D4(grid=2)"
