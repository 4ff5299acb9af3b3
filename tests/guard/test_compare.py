"""``equibench compare``: two runs side by side, by paired statistics."""

import json

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

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
    assert {v["note"] for v in json.loads(out)["verdicts"]} == {"0 of 8 cases differ"}


@pytest.mark.parametrize(
    ("strength", "mark"), [(0.501, "ok"), (0.9, "worse here"), (0.1, "better here")]
)
def test_too_few_cases_to_test_are_held_to_the_tolerance_of_check(cli, run, strength, mark):
    """However many shifts they have: those are not independent of each other."""
    run("before", "net,strength=0.5", suite="noise,n=2,size=32")
    run("now", f"net,strength={strength}", suite="noise,n=2,size=32")
    status, out, _ = cli("compare", "before", "now", "--format", "json")
    assert status == (mark == "worse here")
    assert marks(out) == [("eq_nmse", mark), ("eq_ssim", mark)]
    said = "" if mark == "ok" else ", but on these the difference is more than 10%"
    assert {v["note"] for v in json.loads(out)["verdicts"]} == {
        f"2 of 2 cases differ: too few to test{said}"
    }
    assert {v["test"] for v in json.loads(out)["verdicts"]} == {None}


def test_what_was_not_tested_is_said_of_these_cases_alone_with_the_limit_that_decided(cli, run):
    run("before", "net,strength=0.5", suite="noise,n=2,size=32")
    run("now", "net,strength=0.9", suite="noise,n=2,size=32")
    _, out, _ = cli("compare", "before", "now")
    heading, _, *lines, said = out.splitlines()
    assert [cell.strip() for cell in heading.split("|")[6:10]] == ["before", "now", "limit", ""]
    for line in lines:
        mark, *_, figure, before, now, limit, _ = [c.strip() for c in line.split("|")[1:-1]]
        assert mark == "✗ worse here"
        allowed = float(before) * 1.1 if "nmse" in figure else 1 - 1.1 * (1 - float(before))
        assert float(limit) == pytest.approx(allowed, rel=1e-3)
        assert (float(now) > float(limit)) == ("nmse" in figure)
    assert said == "now against before: 2 of 2 figures fail"


def test_only_the_cases_that_both_have_are_paired(cli, run):
    run("before", "net", "--limit", 6)
    run("now", "net")
    status, out, _ = cli("compare", "before", "now", "--format", "json")
    assert status == 0
    assert {v["note"] for v in json.loads(out)["verdicts"]} == {
        "0 of 6 cases differ; 2 of 8 cases and 8 of 32 shifts left out, measured on one side alone"
    }


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
        "not comparable: net · noise · all, no case has the same shift in both: 8 of 8 cases and "
        "64 of 64 shifts left out, measured on one side alone"
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
    _, out, _ = cli("compare", "before", "now", "--format", "github")
    assert "worse: other · noise · all: mean eq_nmse" in out
    assert out.count("8 of 8 cases differ; against net") == 2
    status, out, _ = cli("compare", "now", "before", "--format", "github")
    assert status == 0
    assert "better: net · noise · all: mean eq_nmse" in out


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
