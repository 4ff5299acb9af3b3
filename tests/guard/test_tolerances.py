"""Tolerances: which figures they cover, and how they are written."""

import pytest
from planted_baselines import measured, said, scaled

from equibench.errors import UsageError
from equibench.guard.gate import judge
from equibench.guard.tolerance import Tolerance, parse_tolerance, read_tolerances


@pytest.mark.slow
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
