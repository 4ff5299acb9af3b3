"""The main job, with one case and one shift in the place of its four and fifteen."""

import sys

import pandas as pd
import pytest

import equibench.measurement.run_config
from equibench.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Run ``equibench quickstart`` once; returns its run folder and what it printed."""
    folder = tmp_path_factory.mktemp("quickstart") / "run"
    read, printed = equibench.measurement.run_config.read_config, []

    def smaller(path):
        return read(path) | {"limit": 1, "shifts": "file:tests/data/one_shift.csv"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equibench.measurement.run_config, "read_config", smaller)
        patch.setattr("typer.echo", lambda text, **kwargs: printed.append(str(text)))
        patch.setattr(sys, "argv", ["equibench", "quickstart", "--out", str(folder)])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert not stopped.value.code
    return folder, "\n".join(printed)


def test_it_measures_nine_variants_on_three_suites(quickstart):
    folder, _ = quickstart
    summary = pd.read_csv(folder / "summary.csv")
    assert summary.groupby("suite").size().to_dict() == {
        "ct-sample": 9,
        "mri-sample": 9,
        "photo-sample": 9,
    }
    with_truth = summary[summary["suite"] != "photo-sample"]
    assert summary[["eq_nmse_mean", "eq_nmse_worst", "eq_ssim_worst"]].notna().all(axis=None)
    assert with_truth["delta_psnr_worst"].notna().all()


def test_adaptive_polyphase_networks_are_at_the_floor_and_the_others_are_not(quickstart):
    folder, _ = quickstart
    summary = pd.read_csv(folder / "summary.csv")
    adaptive = summary["model"].str.startswith("unet-aps")
    assert summary[adaptive]["eq_nmse_median"].max() < 1e-13
    # on CT the deep channels of a network died: what is left of it is equivariant as well
    others = summary[~adaptive & (summary["suite"] != "ct-sample")]
    assert others["eq_nmse_median"].min() > 1e-7


def test_the_networks_are_trained_and_the_page_is_written(quickstart):
    folder, printed = quickstart
    assert printed.count("| unet-") == 27
    assert "untrained" not in printed
    assert f"report: {folder}/report/index.html" in printed
    assert "untrained" not in (folder / "report/index.html").read_text(encoding="utf-8")
    for name in ("distribution", "heatmap"):
        for kind in ("png", "pdf"):
            assert (folder / f"report/figures/{name}.{kind}").stat().st_size > 1000
