"""Paired statistics, and ``equibench compare``."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from equibench.statistics.paired_tests import FEWEST, Paired, holm, paired

# The statistics


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_sign_of_the_effect_is_that_of_the_differences_and_p_does_not_depend_on_it(d):
    one, other = paired(d), paired([-x for x in d])
    assert one.effect == pytest.approx(-other.effect)
    assert one.p == pytest.approx(other.p)
    assert -1 <= one.effect <= 1
    assert 0 <= one.p <= 1


def test_without_a_difference_there_is_nothing_to_show():
    assert paired([0.0] * 5) == Paired(pairs=5, different=0, p=1.0, effect=0.0)


def test_consistent_differences_have_full_effect_and_the_exact_p():
    assert paired([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == Paired(6, 6, 2 / 2**6, 1.0)


def test_fewer_than_six_pairs_are_never_significant():
    assert paired(np.arange(1.0, FEWEST)).p > 0.05 > paired(np.arange(1.0, FEWEST + 1)).p


def test_p_is_scipys():
    d = np.random.default_rng(0).normal(0.3, 1, 40)
    assert paired(d).p == pytest.approx(wilcoxon(d, method="exact").pvalue)


def test_holm_steps_down_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


# The command

NETS = """
import torch
def net(strength=0.5, noise=0.0, sign=1):
    gain = torch.linspace(1 - strength, 1, 32)
    def forward(x):
        return x * gain * (1 + noise * torch.linspace(-1, 1, 32)[:, None])
    return forward
def equivariant(noise=0.0):
    return lambda x: x * (1 + noise * torch.linspace(-1, 1, 32))
def nan():
    return lambda x: x * torch.nan
"""


@pytest.fixture
def run(cli, plugin):
    """Measure one of the models above on eight images, into a folder."""
    path = plugin(NETS)

    def call(out, model, *options, suite="noise,n=8,size=32"):
        cli("run", "-m", f"{path}:{model},label=net", "-s", suite, "--out", out,
            "--shifts", "random:n=4,max=8", *options)  # fmt: skip

    return call


def marks(out):
    return [(v["metric"], v["mark"]) for v in json.loads(out)["verdicts"]]


def test_a_small_consistent_loss_is_worse_and_the_reverse_is_better(cli, run):
    run("before", "net,strength=0.5")
    run("now", "net,strength=0.501")
    status, out, _ = cli("compare", "before", "now")
    assert status == 1
    assert out == (
        "|         | model   | suite   | group   | figure       | before   | now    "
        "| p       | effect   |                     |\n"
        "|---------|---------|---------|---------|--------------|----------|--------"
        "|---------|----------|---------------------|\n"
        "| ✗ worse | net     | noise   | all     | mean eq_nmse | 0.04765  | 0.0479 "
        "| 0.01562 | +1.00    | 8 of 8 cases differ |\n"
        "| ✗ worse | net     | noise   | all     | mean eq_ssim | 0.9563   | 0.9561 "
        "| 0.01562 | +1.00    | 8 of 8 cases differ |\n"
        "now against before: 2 of 2 figures fail\n"
    )
    status, out, _ = cli("compare", "now", "before", "--format", "json")
    assert (status, marks(out)) == (0, [("eq_nmse", "better"), ("eq_ssim", "better")])
    verdict = json.loads(out)["verdicts"][0]
    assert verdict["test"] == {"pairs": 8, "different": 8, "p": 2 * 2 / 2**8, "effect": -1.0}


@pytest.mark.parametrize("factory", ["net,noise=", "equivariant,noise="])
def test_a_difference_within_rounding_is_none(cli, run, factory):
    run("before", f"{factory}0.0")
    run("now", f"{factory}1e-7")
    status, out, _ = cli("compare", "before", "now", "--format", "json")
    assert (status, marks(out)) == (0, [("eq_nmse", "ok"), ("eq_ssim", "ok")])
    assert {v["test"]["different"] for v in json.loads(out)["verdicts"]} == {0}


def test_few_cases_are_paired_shift_by_shift(cli, run):
    run("before", "net,strength=0.5", suite="noise,n=2,size=32")
    run("now", "net,strength=0.501", suite="noise,n=2,size=32")
    _, out, _ = cli("compare", "before", "now", "--format", "json")
    assert {v["note"] for v in json.loads(out)["verdicts"]} == {"7 of 8 cases and shifts differ"}


@pytest.mark.parametrize(("strength", "mark"), [(0.501, "ok"), (0.9, "worse"), (0.1, "better")])
def test_too_few_pairs_to_test_are_held_to_the_tolerance_of_check(cli, run, strength, mark):
    few = ("--shifts", "random:n=1,max=8")
    run("before", "net,strength=0.5", *few, suite="noise,n=2,size=32")
    run("now", f"net,strength={strength}", *few, suite="noise,n=2,size=32")
    _, out, _ = cli("compare", "before", "now", "--format", "json")
    assert marks(out) == [("eq_nmse", mark), ("eq_ssim", mark)]
    assert {v["note"] for v in json.loads(out)["verdicts"]} == {
        "2 of 2 cases differ: too few to test"
    }


def test_only_the_cases_that_both_have_are_paired(cli, run):
    run("before", "net", "--limit", 6)
    run("now", "net")
    status, out, _ = cli("compare", "before", "now", "--format", "json")
    assert status == 0
    assert {v["test"]["pairs"] for v in json.loads(out)["verdicts"]} == {6}


def test_other_shifts_precision_and_lines_are_not_comparable_new_or_missing(cli, run):
    run("before", "net")
    run("seed", "net", "--seed", 1)
    run("double", "net", "--precision", "fp64")
    run("other", "net", suite="noise,n=8,size=32,label=other")
    failing = {}
    for now in ("seed", "double", "other"):
        status, out, _ = cli("compare", "before", now, "--format", "github")
        failing[now] = [line.partition("::")[2].partition("::")[2] for line in out.splitlines()]
        assert status == 1
    assert failing["seed"][0] == (
        "not comparable: net · noise · all, no case has the same shift in both runs"
    )
    assert failing["double"][0] == "not comparable, precision was fp32 and is fp64"
    assert failing["other"][:2] == [
        "new: net · other · all, the first run has no such line",
        "missing: net · noise · all, the second run has no such line",
    ]


def test_a_run_of_one_model_is_compared_with_a_run_of_one_other(cli, run, plugin):
    run("before", "net")
    path = plugin(NETS)
    cli("run", "-m", f"{path}:net,strength=0.9,label=other", "-s", "noise,n=8,size=32",
        "--out", "now", "--shifts", "random:n=4,max=8")  # fmt: skip
    status, out, _ = cli("compare", "before", "now", "--format", "json")
    assert (status, marks(out)) == (1, [("eq_nmse", "worse"), ("eq_ssim", "worse")])


def test_nan_is_worse_and_says_where(cli, run, tmp_path):
    run("before", "net")
    run("now", "nan")
    status, out, _ = cli("compare", "before", "now", "--format", "json")
    assert status == 1
    rows = pd.read_parquet(tmp_path / "now/rows")
    first = rows[rows["draw"] == 1].iloc[0]
    verdicts = {v["metric"]: v for v in json.loads(out)["verdicts"]}
    assert (verdicts["eq_nmse"]["mark"], verdicts["eq_nmse"]["note"]) == (
        "worse", f"is not finite, first at {first['case']} ({first['dy']}, {first['dx']})"
    )  # fmt: skip
    assert verdicts["eq_ssim"]["note"] == "the second run has no such metric"
    _, out, _ = cli("compare", "now", "before", "--format", "json")
    verdicts = {v["metric"]: v for v in json.loads(out)["verdicts"]}
    assert verdicts["eq_nmse"]["mark"] == "better"
    assert verdicts["eq_nmse"]["note"].startswith("was not finite, first at ")
    assert verdicts["eq_ssim"]["note"] == "the first run has no such metric"


def test_a_run_that_is_none_is_a_usage_error(cli, run):
    run("before", "net")
    assert cli("compare", "before", "nothing")[::2] == (
        2, "equibench: nothing is no run folder: it has no run.json\n"
    )  # fmt: skip
