"""The paper's runs, end to end, on miniature data in the real layouts and at a small width."""

import shutil
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from equibench.cli import main
from equibench.foundation.platform_folders import cache_folder
from equibench.loading.load import load_spec
from equibench.loading.weights import read_weights, save_weights
from equibench.models.variants import VARIANTS
from equibench.registry.specs import Spec
from equibench.suites.samples.images import CTSample, MRISample, PhotoSample

pytestmark = pytest.mark.long

TABLES = Path(__file__).parents[2] / "results" / "paper"
CONFIGURATIONS = sorted(TABLES.glob("*.toml"))
WIDTH = 0.02
SIZE = 64


def command(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["equibench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert not stopped.value.code


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two slices of each kind and part, in folders as fastMRI, LoDoPaB-CT and ImageNet have."""
    folder = tmp_path_factory.mktemp("data")
    for sample in (MRISample(), CTSample(), PhotoSample()):
        sample.load(sample.cases()[0])
    cache = cache_folder()
    for split, groups in (("train", ["CORPD_FBK"]), ("val", ["CORPD_FBK", "CORPDFS_FBK"])):
        (source,) = (cache / "mri-sample-v1" / f"singlecoil_{split}").glob("*.h5")
        (folder / "fastmri" / f"singlecoil_{split}").mkdir(parents=True)
        for number, group in enumerate(groups):
            copy_volume(source, folder / "fastmri" / f"singlecoil_{split}", group, 8 + 2 * number)
    (folder / "lodopab").mkdir()
    for part, origin in (("train", "train"), ("validation", "train"), ("test", "test")):
        source = cache / "ct-sample-v1"
        with h5py.File(source / f"ground_truth_{origin}_000.hdf5") as truth:
            target = folder / "lodopab" / f"ground_truth_{part}_000.hdf5"
            with h5py.File(target, "w") as file:
                file["data"] = truth["data"][:2]
        np.save(folder / "lodopab" / f"fbp_{part}.npy", np.load(source / f"fbp_{origin}.npy")[:2])
    shutil.copytree(cache / "photo-sample-v1", folder / "imagenet")
    return folder


def copy_volume(source, folder, acquisition, first):
    """The middle of two slices of a volume as a volume of its own."""
    with h5py.File(source) as whole, h5py.File(folder / f"file{first}.h5", "w") as part:
        slices = slice(first, first + 2)
        part["kspace"] = whole["kspace"][slices]
        height, width = ((n - SIZE) // 2 for n in whole["reconstruction_esc"].shape[1:])
        middle = slice(height, height + SIZE), slice(width, width + SIZE)
        part["reconstruction_esc"] = whole["reconstruction_esc"][slices, *middle]
        part["ismrmrd_header"] = whole["ismrmrd_header"][()]
        part.attrs.update(dict(whole.attrs) | {"acquisition": acquisition})


@pytest.fixture(scope="module")
def reproduced(data, tmp_path_factory):
    """Train two variants as the paper's presets say, for one epoch, and run the paper's tables.

    The others' weights are those of the initialisation.
    """
    folder = tmp_path_factory.mktemp("reproduction")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EQUIBENCH_DATA", str(data))
        for suite, small in (("fastmri", "fastmri"), ("lodopab", f"lodopab,size={SIZE}")):
            train = ("--width", WIDTH, "-s", small, "--epochs", 1)
            command("train", "unet-aps-3", *train)
            command("train", "unet-baseline", *train, "--shift-augment", 16)
            trained = read_weights(Path(f"weights/{suite}/unet-aps-3.safetensors")).trained
            for name in set(VARIANTS) - {"unet-aps-3"}:
                model = load_spec(Spec(name, {"width": WIDTH})).model
                file = Path(f"weights/{suite}/{name}.safetensors")
                save_weights(model, file, {**trained, "model": name})
        for path in CONFIGURATIONS:
            text = path.read_text(encoding="utf-8").replace(",weights=", f",width={WIDTH},weights=")
            text = text.replace('["lodopab"]', f'["lodopab,size={SIZE}"]')
            Path(path.name).write_text(text, encoding="utf-8")
            command("run", "--config", path.name, "--limit", 2, "--out", path.stem)
        runs = [path.stem for path in CONFIGURATIONS]
        command("report", "--paper", *runs, "-o", "report", "--only", "tables")
    return folder


def test_there_is_a_configuration_for_each_table():
    assert [path.stem for path in CONFIGURATIONS] == [
        path.stem for path in sorted(TABLES.glob("*.csv"))
    ]


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_configuration_measures_the_nine_variants_at_full_width(path):
    models = tomllib.loads(path.read_text(encoding="utf-8"))["models"]
    assert len(models) == 9
    assert not any("width" in model for model in models)


def test_volumes_are_measured_as_wholes_with_one_shift_each(reproduced):
    rows = pd.read_parquet(reproduced / "table1_mri" / "rows")
    assert set(rows["group"]) == {"PD", "PDFS"}
    assert set(rows["case"]) == {"file8", "file10"}
    assert rows.groupby(["model", "case"]).size().eq(2).all()
    assert set(rows["frame"]) == {"reference"}
    assert rows[["dy", "dx"]].abs().max(axis=None) <= 16


def test_the_worst_change_of_psnr_is_over_ten_passes(reproduced):
    rows = pd.read_parquet(reproduced / "table2_mri_worst_delta_psnr" / "rows")
    assert rows[rows["draw"] > 0].groupby(["model", "case"]).size().eq(10).all()


def test_imagenet_is_measured_without_a_ground_truth(reproduced):
    rows = pd.read_parquet(reproduced / "table3_imagenet" / "rows")
    assert rows["model"].nunique() == 9
    assert rows["eq_nmse"].notna().all()
    assert rows["delta_psnr"].isna().all()


def test_ct_has_the_paper_s_ssim_and_the_ordinary_one(reproduced):
    rows = pd.read_parquet(reproduced / "table4_ct" / "rows")
    assert rows[["eq_ssim", "eq_ssim_columns", "psnr", "nmse"]].notna().all(axis=None)


def test_the_report_has_all_four_tables(reproduced):
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in (reproduced / "report").rglob("*.md")
    )
    for number in (1, 2, 3, 4):
        assert f"Table {number}" in text
