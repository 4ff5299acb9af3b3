"""The main job, with two of its networks, one case and one shift."""

import sys
from pathlib import Path

import pandas as pd
import pytest

import equibench
import equibench.measurement.run_config
from equibench.cli import main
from equibench.measurement.run_config import read_config
from equibench.models.variants import VARIANTS

pytestmark = pytest.mark.long

CONFIGURATION = read_config(Path(equibench.__file__).parent / "quickstart.toml")
WANTED = tuple(f"unet-baseline,width=0.125,weights={on}," for on in ("mri-sample", "ct-sample"))
WANTED += ("unet-aps-3,",)


def some(block):
    return block | {"models": [m for m in block["models"] if m.startswith(WANTED)]}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Run ``equibench quickstart`` once; returns its run folder and what it printed."""
    folder = tmp_path_factory.mktemp("quickstart") / "run"
    printed = []

    def smaller(path):
        config = some(read_config(path)) | {"also": [some(b) for b in CONFIGURATION["also"]]}
        return config | {"limit": 1, "shifts": "file:tests/data/one_shift.csv"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equibench.measurement.run_config, "read_config", smaller)
        patch.setattr("typer.echo", lambda text, **kwargs: printed.append(str(text)))
        patch.setattr(sys, "argv", ["equibench", "quickstart", "--out", str(folder)])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert not stopped.value.code
    return folder, "\n".join(printed)


def test_it_measures_nine_variants_where_the_paper_measures_its_own():
    also = CONFIGURATION["also"][0]
    for block, trained in ((CONFIGURATION, "mri-sample"), (also, "ct-sample")):
        names = [model.partition(",")[0] for model in block["models"]]
        augmented = [name for name, m in zip(names, block["models"], strict=True) if "-da" in m]
        assert set(names) == set(VARIANTS)
        assert (len(names), augmented) == (9, ["unet-baseline"])
        assert all(f"weights={trained}" in model for model in block["models"])
    assert CONFIGURATION["suites"] == ["mri-sample", "photo-sample"]
    assert also["suites"] == ["ct-sample"]


def test_it_measures_networks_on_three_suites(quickstart):
    folder, _ = quickstart
    summary = pd.read_csv(folder / "summary.csv")
    assert summary.groupby("suite").size().to_dict() == {
        "ct-sample": 2,
        "mri-sample": 2,
        "photo-sample": 2,
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
    assert printed.count("| unet-") == 6
    assert "untrained" not in printed
    assert f"report: {folder}/report/index.html" in printed
    assert "untrained" not in (folder / "report/index.html").read_text(encoding="utf-8")
    for name in ("distribution", "heatmap"):
        for kind in ("png", "pdf"):
            assert (folder / f"report/figures/{name}.{kind}").stat().st_size > 1000
