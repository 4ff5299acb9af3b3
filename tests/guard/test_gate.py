"""The gate: baselines, tolerances, verdicts, and ``equibench check``."""

import json
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from equibench.errors import UsageError
from equibench.foundation.rounding import allowance, default_limit, tolerated
from equibench.guard.baseline import Baseline, shift_conditions
from equibench.guard.gate import failed, judge
from equibench.guard.tolerance import Tolerance, parse_tolerance, read_tolerances
from equibench.guard.verdict_formats import render

SUITE = {"noise": {"name": "noise", "version": 1, "arguments": {}, "cases": "2 (abc)"}}
CONDITIONS = {"frame": "canonical", "precision": "fp32", "seed": 0, "shifts": "random:n=2,max=8"}


def measured(nmse=(0.1, 0.2, 0.3, 0.4), ssim=0.9, floor=1e-15, model="net", **changes):
    """A baseline over two cases with two shifts each."""
    rows = pd.DataFrame(
        {
            "model": model, "suite": "noise", "group": "all",
            "cluster": list("aaabbb"), "case": list("aaabbb"), "draw": [0, 1, 2, 0, 1, 2],
            "dy": [0, 1, 2, 0, 3, 4], "dx": [0, 5, 6, 0, 7, -8],
            "frame": "canonical", "precision": "fp32",
            "eq_nmse": [floor, *nmse[:2], floor, *nmse[2:]], "eq_ssim": ssim,
            "near_ties": np.nan, "floor_nmse": floor, "covers": 1, "evidence": "",
            "spot_deviation": np.nan,
        }
    )  # fmt: skip
    found = Baseline.of_rows(rows, CONDITIONS, SUITE)
    return replace(found, **changes)


def said(before, after, tolerances=()):
    return [str(verdict) for verdict in failed(judge(before, after, tolerances))]


def scaled(factor):
    return measured(tuple(factor * value for value in (0.1, 0.2, 0.3, 0.4)))


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


# Tolerances


@pytest.mark.parametrize(
    "text",
    [
        "eq_nmse=0.6",
        "eq_*=0.6,model=n*",
        "eq_nmse=0.6,suite=noise,group=all",
        "eq_nmse=0,absolute=1",
    ],
)
def test_a_tolerance_covers_what_its_patterns_name(text):
    assert not said(measured(), scaled(1.5), [parse_tolerance(text)])


def test_the_last_tolerance_that_covers_a_figure_counts():
    rules = [parse_tolerance("eq_nmse=0.6"), parse_tolerance("eq_nmse=0.1,statistic=worst")]
    assert said(measured(), scaled(1.5), rules) == [
        "regression: net · noise · all: worst eq_nmse, was 0.4 and is 0.6, limit 0.44, at b (4, -8)"
    ]


def test_tolerances_are_read_from_toml(tmp_path):
    file = tmp_path / "gate.toml"
    file.write_text(
        '[[tolerance]]\nrelative = 0.6\n[[tolerance]]\nmetric = "eq_ssim"\nabsolute = 0.01\n'
    )
    assert read_tolerances(file) == [
        Tolerance(relative=0.6), Tolerance(metric="eq_ssim", absolute=0.01)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "0.1",
            "--tolerance '0.1' begins with no metric: write eq_nmse=0.2,suite=mri-sample",
        ),
        (
            "model=net",
            "--tolerance 'model=net' begins with no metric: write eq_nmse=0.2,suite=mri-sample",
        ),
        (
            "eq_nmse=0.1,modell=net",
            "--tolerance 'eq_nmse=0.1,modell=net': there is no field 'modell'; did you mean model? "
            "There are: relative, absolute, metric, statistic, model, suite, group",
        ),
        (
            "eq_nmse=-1",
            "--tolerance 'eq_nmse=-1': relative = -1: input should be greater than or equal to 0",
        ),
        (
            "eq_nmse=inf",
            "--tolerance 'eq_nmse=inf': relative = inf: input should be a finite number",
        ),
        (
            "eq_nsme=0.1",
            "the tolerance relative = 0.1, metric = eq_nsme covers no figure; metric is one of: "
            "eq_nmse, eq_ssim",
        ),
        (
            "eq_nmse=0.2,suite=mri",
            "the tolerance relative = 0.2, metric = eq_nmse, suite = mri covers no figure; suite "
            "is one of: noise",
        ),
    ],
)
def test_a_tolerance_that_cannot_be_is_a_usage_error(text, message):
    with pytest.raises(UsageError) as caught:
        judge(measured(), measured(), [parse_tolerance(text)])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read {}: No such file or directory"),
        ("[tolerance", "{} is no TOML: Expected ']' at the end of a table declaration"),
        ("eq_nmse = 0.1", "{}: it takes [[tolerance]] tables and nothing else"),
        ("tolerance = [1]", "{}, [[tolerance]] 1 is no table"),
        (
            "[[tolerance]]\nrelativ = 0.1",
            "{}, [[tolerance]] 1: there is no field 'relativ'; did you mean relative? There are: "
            "relative, absolute, metric, statistic, model, suite, group",
        ),
    ],
)
def test_a_file_of_tolerances_that_cannot_be_read_is_a_usage_error(tmp_path, text, message):
    file = tmp_path / "gate.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_tolerances(file)
    assert str(caught.value).startswith(message.format(file))


# The file


def test_a_baseline_is_small_sorted_readable_and_comes_back_as_it_was(tmp_path):
    file = tmp_path / "deep/base.json"
    measured().write(file)
    assert file.read_text() == (
        "{\n"
        '  "conditions": {"frame": "canonical", "precision": "fp32", "seed": 0, '
        '"shifts": "random:n=2,max=8"},\n'
        '  "lines": {\n'
        '    "net": {\n'
        '      "noise": {\n'
        '        "all": {\n'
        '          "eq_nmse": {"at": "b (4, -8)", "mean": 0.25, "median": 0.25, "rows": 4, '
        '"sd": 0.111803, "worst": 0.4},\n'
        '          "eq_ssim": {"at": "a (1, 5)", "mean": 0.9, "median": 0.9, "rows": 4, '
        '"sd": 0, "worst": 0.9},\n'
        '          "floor": {"nmse": 1e-15}\n'
        "        }\n"
        "      }\n"
        "    }\n"
        "  },\n"
        '  "metrics": {\n'
        '    "eq_nmse": {"best": 0, "higher_is_better": false, "version": 1},\n'
        '    "eq_ssim": {"best": 1, "higher_is_better": true, "version": 1}\n'
        "  },\n"
        '  "outputs": [],\n'
        '  "schema": 1,\n'
        '  "suites": {\n'
        '    "noise": {\n'
        '      "arguments": {},\n'
        '      "cases": "2 (abc)",\n'
        '      "name": "noise",\n'
        '      "version": 1\n'
        "    }\n"
        "  }\n"
        "}\n"
    )
    assert not said(Baseline.read(file), measured())
    assert [path.name for path in file.parent.iterdir()] == ["base.json"]


def test_a_floor_that_was_not_measured_is_null():
    base = measured(floor=math.nan)
    assert not said(base, base)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_makes_no_baseline(tmp_path, value):
    with pytest.raises(UsageError) as caught:
        measured((value,) * 4).write(tmp_path / "base.json")
    assert str(caught.value).startswith("no baseline is written: net has a ")
    assert str(caught.value).endswith(f" eq_nmse of {value} on noise; mend the model first")
    assert not list(tmp_path.iterdir())


def broken(text):
    """A baseline file after an edit by hand."""
    return lambda content: content.replace(*text)


DAMAGE = {
    "cut": (lambda content: content[:200], "Unterminated string starting at: line"),
    "infinite": (broken(("0.25", "Infinity")), "it holds Infinity"),
    "nan": (broken(("0.25", "NaN")), "it holds NaN"),
    "no lines": (broken(('"lines"', '"line"')), "KeyError: 'lines'"),
    "no figure": (broken(('"mean"', '"men"')), "KeyError: 'mean'"),
    "text": (broken(("0.25", '"0.25"')), "TypeError: eq_nmse mean is no number"),
    "no suite": (broken(('"noise": {\n      "arg', '"nose": {\n      "arg')), "KeyError: 'noise'"),
    "no mapping": (lambda content: "[]", "TypeError: list indices must be integers"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_baseline_is_told_with_the_remedy(tmp_path, kind):
    damage, reason = DAMAGE[kind]
    file = tmp_path / "base.json"
    measured().write(file)
    file.write_text(damage(file.read_text()))
    with pytest.raises(UsageError) as caught:
        Baseline.read(file)
    message = str(caught.value)
    assert message.startswith(f"the baseline {file} is damaged (")
    assert message.endswith("): restore it, or write it anew with --update")
    assert reason[:20] in message


def test_another_schema_version_is_not_comparable(tmp_path):
    file = tmp_path / "base.json"
    measured().write(file)
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 0'))
    with pytest.raises(UsageError) as caught:
        Baseline.read(file)
    assert str(caught.value) == (
        f"not comparable: the baseline {file} has schema version 0, this equibench reads version "
        "1: write it anew with --update"
    )


# What is shown


def mixed():
    return judge(measured(), measured((0.2, 0.3, 0.4, 0.5), ssim=0.99))


def test_the_table_has_marks_and_a_conclusion():
    assert render(mixed(), "table", "now against base") == (
        "|              | model   | suite   | group   | figure         | before   | now   "
        "| limit   |              |\n"
        "|--------------|---------|---------|---------|----------------|----------|-------"
        "|---------|--------------|\n"
        "| ✗ regression | net     | noise   | all     | mean eq_nmse   | 0.25     | 0.35  "
        "| 0.275   |              |\n"
        "| ✗ regression | net     | noise   | all     | median eq_nmse | 0.25     | 0.35  "
        "| 0.275   |              |\n"
        "| ✗ regression | net     | noise   | all     | worst eq_nmse  | 0.4      | 0.5   "
        "| 0.44    | at b (4, -8) |\n"
        "| ▲ improved   | net     | noise   | all     | mean eq_ssim   | 0.9      | 0.99  "
        "| 0.89    |              |\n"
        "| ▲ improved   | net     | noise   | all     | median eq_ssim | 0.9      | 0.99  "
        "| 0.89    |              |\n"
        "| ▲ improved   | net     | noise   | all     | worst eq_ssim  | 0.9      | 0.99  "
        "| 0.89    | at a (1, 5)  |\n"
        "now against base: 3 of 6 figures fail, 3 are better"
    )


def test_json_is_standard_json():
    verdicts = judge(measured(), measured((0.1, 0.2, 0.3, math.inf)))
    content = json.loads(render(verdicts, "json", "t"), parse_constant=pytest.fail)
    assert content["passed"] is False
    assert content["verdicts"][0] == {
        "mark": "regression", "model": "net", "suite": "noise", "group": "all",
        "metric": "eq_nmse", "statistic": "mean", "before": 0.25, "after": "inf",
        "limit": pytest.approx(0.275), "note": "", "test": None,
    }  # fmt: skip


def test_junit_has_a_case_for_each_figure_and_hostile_names_are_text():
    name = "<b>\x1b]]>&"
    verdicts = judge(measured(model=name), measured((0.1, 0.2, 0.3, 0.9), model=name))
    suite = ElementTree.fromstring(render(verdicts, "junit", "t"))
    assert suite.attrib == {"name": "t", "tests": "6", "failures": "2"}
    (case, _) = [case for case in suite if len(case)]
    assert case.attrib == {"classname": "<b>�]]>&.noise.all", "name": "mean eq_nmse"}
    assert case[0].attrib == {
        "type": "regression",
        "message": "regression: <b>�]]>& · noise · all: mean eq_nmse, was 0.25 and is 0.375, "
        "limit 0.275",
    }


def test_github_annotations_take_one_line_each_and_no_command_hides_in_a_name():
    name = "net\n::error::50%"
    old, new = measured(model=name), measured((0.1, 0.2, 0.3, 0.9), ssim=0.99, model=name)
    lines = render(judge(old, new), "github", "now against base").splitlines()
    assert lines[0] == (
        "::error title=equibench%3A regression::regression: net%0A::error::50%25 · noise · all: "
        "mean eq_nmse, was 0.25 and is 0.375, limit 0.275"
    )
    assert lines[2].startswith("::notice title=equibench%3A improved::improved: ")
    assert lines[-1] == "now against base: 2 of 6 figures fail, 3 are better"
    assert len(lines) == 6


# The command

NETS = """
def net(strength=0.5):
    gain = torch.linspace(1 - strength, 1, 32)
    return lambda x: x * gain
def nan():
    return lambda x: x * torch.nan
"""


@pytest.fixture
def run(cli, plugin):
    """Measure one of the models above, into a folder."""
    path = plugin(NETS)

    def call(out, model="net", *options):
        cli("run", "-m", f"{path}:{model},label=net", "-s", "noise,n=2,size=32", "--out", out,
            "--shifts", "grid:max=2,step=1", *options)  # fmt: skip

    return call


def test_check_without_a_baseline_says_how_to_write_one(cli, run):
    run("now")
    status, _, err = cli("check", "now", "--against", "base.json")
    assert (status, err) == (
        2, "equibench: there is no baseline base.json yet: write it with --update\n"
    )  # fmt: skip


def test_check_passes_until_a_change_makes_it_worse_and_update_accepts_it(cli, run):
    run("before")
    assert cli("check", "before", "--against", "base.json", "--update")[:2] == (
        0, "baseline: base.json\n"
    )  # fmt: skip
    assert cli("check", "before", "--against", "base.json")[0] == 0
    run("now", "net,strength=0.9")
    status, out, _ = cli("check", "now", "--against", "base.json")
    assert status == 1
    assert out.splitlines()[-1] == "now against base.json: 6 of 6 figures fail"
    assert cli("check", "now", "--against", "before")[0] == 1
    assert cli("check", "now", "--against", "before", "--tolerance", "*=1000")[0] == 0
    assert cli("check", "before", "--against", "now")[1].splitlines()[-1] == (
        "before against now: all 6 pass, 6 are better"
    )
    before = Path("base.json").read_bytes()
    status, out, err = cli("check", "now", "--against", "base.json", "--update")
    assert status == 1
    assert [line.partition(":")[0] for line in out.splitlines()] == ["regression"] * 6
    assert err == (
        "base.json is not updated: 6 figures would be worse; if this is meant, add --worse\n"
    )
    assert Path("base.json").read_bytes() == before
    assert cli("check", "now", "--against", "base.json", "--worse")[0] == 2
    status, out, _ = cli("check", "now", "--against", "base.json", "--update", "--worse")
    assert status == 0
    assert out.splitlines()[-1] == "baseline: base.json"
    assert cli("check", "now", "--against", "base.json")[0] == 0


def test_a_baseline_that_cannot_be_read_is_replaced_and_that_is_said(cli, run):
    run("now")
    Path("base.json").write_text("{", encoding="utf-8")
    status, out, err = cli("check", "now", "--against", "base.json", "--update")
    assert (status, out) == (0, "baseline: base.json\n")
    assert "the baseline base.json is damaged" in err
    assert err.endswith("; it is replaced\n")


def test_an_update_says_what_cannot_be_compared_with_the_baseline_it_replaces(cli, run):
    run("now")
    assert cli("check", "now", "--against", "base.json", "--update")[0] == 0
    content = json.loads(Path("base.json").read_text(encoding="utf-8"))
    content["conditions"]["frame"] = "reference"
    Path("base.json").write_text(json.dumps(content), encoding="utf-8")
    status, out, _ = cli("check", "now", "--against", "base.json", "--update")
    assert status == 0
    assert out.splitlines() == [
        "not comparable, frame was reference and is canonical",
        "baseline: base.json",
    ]


def test_comparing_nothing_is_an_error():
    nothing = Baseline({"frame": "canonical", "precision": "fp32", "shifts": "all"}, {}, {}, {})
    with pytest.raises(UsageError, match="nothing is compared"):
        judge(nothing, nothing)


def test_check_takes_tolerances_from_toml_and_the_command_line_wins(cli, run, tmp_path):
    run("before")
    run("now", "net,strength=0.9")
    (tmp_path / "gate.toml").write_text("[[tolerance]]\nrelative = 1000\n")
    held = ("check", "now", "--against", "before", "--config", "gate.toml")
    assert cli(*held)[0] == 0
    assert cli(*held, "--tolerance", "eq_nmse=0.1")[0] == 1


@pytest.mark.parametrize("format", ["table", "json", "junit", "github"])
def test_check_writes_every_format(cli, run, format):
    run("now")
    status, out, _ = cli("check", "now", "--against", "now", "--format", format)
    assert status == 0
    assert "now against now" in out


def test_what_cannot_be_a_baseline_is_refused(cli, run, tmp_path):
    run("now")
    run("broken", "nan")
    manifest = tmp_path / "now/run.json"
    assert cli("check", "now", "--against", "broken", "--update")[2] == (
        "equibench: --update writes a file, and broken is a folder: name a file\n"
    )
    assert cli("check", "broken", "--against", "base.json", "--update")[2].startswith(
        "equibench: no baseline is written: 2 units of broken failed, first: net has an NMSE of nan"
    )
    manifest.write_text(manifest.read_text().replace('"finished"', '"interrupted"'))
    status, _, err = cli("check", "now", "--against", "base.json")
    assert (status, err) == (
        2, "equibench: now is interrupted: the command that made it resumes it\n"
    )  # fmt: skip


def test_a_model_that_returns_nan_fails_the_check(cli, run):
    run("before")
    run("now", "nan")
    status, out, _ = cli("check", "now", "--against", "before", "--format", "github")
    assert status == 1
    assert "mean eq_nmse, was 0.01386 and is nan" in out


def test_a_baseline_that_cannot_be_written_says_why(cli, run, tmp_path):
    run("now")
    (tmp_path / "file").write_text("")
    status, _, err = cli("check", "now", "--against", "file/base.json", "--update")
    assert (status, err) == (
        1,
        "equibench: cannot write the baseline file/base.json: File exists; mend that and repeat\n",
    )
