"""Baselines as files."""

import math

import pytest
from planted_baselines import broken, measured, said

from equibench.errors import UsageError
from equibench.guard.baseline import Baseline


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
