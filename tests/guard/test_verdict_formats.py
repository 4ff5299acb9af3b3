"""Verdicts as text, JSON, JUnit and annotations."""

import json
import math
from xml.etree import ElementTree

import pytest
from planted_baselines import measured

from equibench.guard.gate import judge
from equibench.guard.verdict_formats import render


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
