"""Uncertainty of means, paired tests of models, and how often shifts change more than rounding."""

import json

import numpy as np
import pandas as pd
import pytest

import equibench as eb
from equibench.errors import UsageError
from equibench.guard.comparison import compare_models
from equibench.reports.tables.summary_table import summary_table
from equibench.statistics.paired_tests import holm, paired
from equibench.statistics.summary import summarize

pytestmark = pytest.mark.slow


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
        base |= {"precision": "fp32", "near_ties": 0, "floor_nmse": floor, "evidence": ""}
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


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_rows_that_cover_several_shifts_count_as_if_they_were_written_out(share):
    random = np.random.default_rng(0)
    covers = np.where(random.random(300) < share, 1, 7)
    short = rows([random.random(300)]).assign(covers=[7, *covers])
    long = short.loc[[0, *np.repeat(np.arange(1, 301), covers)]].assign(covers=1)
    for statistic in ("median", "q95", "worst"):
        name = f"eq_nmse_{statistic}"
        assert summarize(short)[name].item() == summarize(long)[name].item()


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
    # Holm: two lines, since the twin's could not be significant
    assert worse.test.p == pytest.approx(2 * 2 / 2**8)


def test_the_gate_fails_where_a_model_is_worse_than_the_one_it_is_compared_with(cli, run):
    status, out, _ = cli("compare", run.path, "--against", "unet-lpf-5,width=0.05")
    assert (status, out.count("✗ worse")) == (1, 2)
    status, out, _ = cli("compare", run.path, "--against", "unet-baseline,width=0.05")
    assert (status, out.count("✗ worse")) == (0, 0)


def test_a_comparison_of_nothing_is_an_error(cli, run):
    alone = eb.RunConfig(models=("unet-lpf-5,width=0.05",), suites=("noise,n=2,size=32",))
    folder = eb.run(alone, run.path.parent / "alone", progress=False)
    status, _, said = cli("compare", folder.path, "--against", "unet-lpf-5,width=0.05")
    assert status == 2
    assert "nothing is compared: " in said
    assert "has no model but unet-lpf-5,width=0.05; measure another beside it" in said


def test_a_model_that_shares_no_suite_with_the_reference_is_no_pass(cli, run):
    config = eb.RunConfig(
        models=("unet-lpf-5,width=0.05",), suites=("noise,n=2,size=32",),
        shifts="random:n=2,max=8",
        also=({"models": ("unet-baseline,width=0.05",), "suites": ("noise,n=2,size=32,label=b",)},),
    )  # fmt: skip
    folder = eb.run(config, run.path.parent / "apart", progress=False)
    status, out, _ = cli("compare", folder.path, "--against", "unet-lpf-5,width=0.05")
    assert status == 1
    assert "it shares no suite with unet-lpf-5,width=0.05" in out


_PATIENTS = """
import torch
import equibench as eb
class Patients(eb.Suite):
    name, metrics = "patients", ("nmse",)
    def cases(self):
        return [str(i) for i in range(8)]
    def load(self, name):
        image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(int(name)))
        return eb.Case(name=name, input=image, cluster=f"patient {int(name) % 2}")
def net(strength=0.5):
    gain = torch.linspace(1 - strength, 1, 16)
    return lambda x: x * gain
"""


def test_patients_are_the_units_of_a_comparison(cli, plugin):
    """Eight cases of two patients are two units, whatever their shifts say."""
    path = plugin(_PATIENTS)
    models = [f"{path}:net,strength={s},label={s}" for s in (0.5, 0.501, 0.9)]
    asked = [part for model in models for part in ("-m", model)]
    cli("run", *asked, "-s", f"{path}:Patients", "--shifts", "random:n=3,max=8", "--out", "run")
    status, out, said = cli("compare", "run", "--against", "0.5", "--format", "json")
    assert out, said
    verdicts = json.loads(out)["verdicts"]
    assert [(v["model"], v["mark"], v["test"]) for v in verdicts] == [
        ("0.501", "ok", None), ("0.9", "worse here", None),
    ]  # fmt: skip
    few = "2 of 2 clusters differ: too few to test"
    assert [v["note"] for v in verdicts] == [
        few, f"{few}, but on these the difference is more than 10%"
    ]  # fmt: skip
    assert status == 1  # by the tolerance


def test_a_reference_that_the_run_lacks_is_refused(run):
    with pytest.raises(
        UsageError, match=r"has no model 'other'; it has unet-lpf-5,width=0.05, twin"
    ):
        compare_models(run, "other")
