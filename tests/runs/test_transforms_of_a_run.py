"""A run under several transforms: rows, tables, page, gate and comparison keep them apart."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equibench.errors import UsageError
from equibench.guard.baseline import Baseline
from equibench.guard.comparison import compare
from equibench.guard.gate import failed, judge
from equibench.measurement.run_config import validated
from equibench.reports.findings.run_data import RunData
from equibench.runs.run_folder import RunFolder
from equibench.runs.runner import run
from equibench.statistics.summary import kept_apart

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TRANSFORMS = ("crop:random:n=2,max=2,window=16", "d4:grid=1", "fourier:n=2")


def config(**fields):
    plain = {"models": ["unet-aps,width=0.05"], "suites": ["noise,n=2,size=32"]}
    return validated(plain | {"device": "cpu", "transforms": list(TRANSFORMS)} | fields, "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run(config(shifts="random:n=2,max=4"), tmp_path_factory.mktemp("run"), progress=False)


@pytest.fixture(scope="module")
def circular(tmp_path_factory):
    fields = {"shifts": "random:n=2,max=4", "transforms": []}
    return run(config(**fields), tmp_path_factory.mktemp("circular"), progress=False)


def test_rows_say_under_what_and_which_element(folder):
    rows = folder.rows()
    assert rows["transform"].unique().tolist() == ["circular", "crop", "d4", "fourier"]
    assert (rows.loc[rows["transform"] != "d4", "element"] == "").all()
    turned = rows[(rows["transform"] == "d4") & (rows["draw"] > 0)]
    assert turned["element"].nunique() == 7
    assert turned[["dy", "dx"]].isna().all(axis=None)
    whole = rows.loc[rows["transform"].isin(["circular", "crop"]), ["dy", "dx"]]
    assert (whole == whole.round()).all(axis=None)
    parts = rows.loc[rows["transform"] == "fourier", "by_distance"]
    assert parts.isna().all()
    near = rows.loc[rows["transform"] == "crop", "by_distance"]
    assert all(len(each) in (7, 8) for each in near)


def test_the_shifts_of_a_run_have_the_rows_that_they_have_alone(folder, circular):
    rows = folder.rows()
    mine = rows[rows["transform"] == "circular"].reset_index(drop=True)
    alone = circular.rows()
    assert [c for c in mine if c not in alone] == [
        "overlap_nmse", "by_distance", "grid_nmse", "inverse_nmse", "high_band"
    ]  # fmt: skip
    pd.testing.assert_frame_equal(mine[alone.columns], alone, check_dtype=False)
    assert alone[["dy", "dx"]].dtypes.tolist() == [np.int64, np.int64]


def test_tables_and_the_page_keep_transforms_apart(folder, cli, tmp_path):
    cli("report", folder.path, "-o", tmp_path, "--image-seconds", "0", "--only", "html")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert all(re.search(rf"noise[^<]*\b{name}\b", page) for name in ("crop", "d4", "fourier"))
    _, table, _ = cli("table", folder.path)
    groups = [line.split("|")[2].strip() for line in table.splitlines() if "| unet-aps" in line]
    assert groups == ["all", "crop", "d4", "fourier"]


def test_figures_of_shifts_draw_circular_ones_alone(folder, tmp_path):
    data = RunData.read(folder)
    assert set(data.circular.shifted["transform"]) == {"circular"}
    assert set(kept_apart(data.summary)["group"]) == {"all", "crop", "d4", "fourier"}


@pytest.mark.long
def test_a_run_without_circular_shifts_is_reported(cli, tmp_path):
    out = tmp_path / "run"
    options = ("-m", "unet-aps,width=0.05", "-s", "noise,n=1,size=32", "--device", "cpu")
    cli("run", *options, "--transform", "d4:grid=1", "--transform", "tile:size=16", "--out", out)
    cli("report", out, "-o", tmp_path / "report")
    assert (tmp_path / "report/figures/ranking.png").exists()
    assert not (tmp_path / "report/figures/heatmap.png").exists()
    assert set(RunFolder(out).rows()["transform"]) == {"d4", "tile"}


def test_a_baseline_holds_each_transform_by_itself(folder, circular, tmp_path):
    both, shifts = Baseline.of_run(folder), Baseline.of_run(circular)
    assert {group for _, _, group in both.lines} == {"all", "crop", "d4", "fourier"}
    file = tmp_path / "baseline.json"
    both.write(file)
    assert failed(judge(Baseline.read(file), both)) == []
    # circular lines are what they were in a baseline that knew of nothing else
    marks = {(v.mark, v.group) for v in judge(shifts, both)}
    assert marks == {("ok", "all"), ("new", "crop"), ("new", "d4"), ("new", "fourier")}


def test_the_same_transform_with_another_plan_is_not_comparable(folder, tmp_path):
    other = run(config(transforms=["d4:grid=2"]), tmp_path, progress=False)
    (verdict,) = judge(Baseline.of_run(folder), Baseline.of_run(other))
    assert verdict.mark == "not comparable"
    assert "d4 was QuarterTurns(grid=1) and is QuarterTurns(grid=2)" in verdict.note


def test_a_comparison_pairs_elements_under_each_transform(folder):
    verdicts = compare(folder, folder)
    assert {v.group for v in verdicts} == {"all", "crop", "d4", "fourier"}
    assert {v.mark for v in verdicts} == {"ok"}


def test_another_transform_is_another_run(folder):
    changed = [TRANSFORMS[0], "d4:grid=3", TRANSFORMS[2]]
    other = config(shifts="random:n=2,max=4", transforms=changed)
    with pytest.raises(UsageError, match=r"holds another run: transforms d4 was 'QuarterTurns"):
        run(other, folder.path, progress=False)


def test_a_run_of_circular_shifts_is_named_as_it_was_before_there_were_others():
    fields = {"models": ["a"], "suites": ["b"]}
    assert validated(fields, "test").digest == validated(fields | {"transforms": []}, "t").digest
    assert validated(fields, "test").digest == "dbf3b9e9c1"
    assert validated(fields | {"transforms": ["d4"]}, "test").shifts == ""


@pytest.mark.parametrize("run", sorted(p.parent for p in (ROOT / "results").rglob("run.json")))
def test_published_runs_are_read_as_runs_of_circular_shifts(run):
    folder = RunFolder(run)
    rows, summary = folder.rows(), folder.summary()
    assert set(rows["transform"]) == {"circular"}
    assert set(kept_apart(summary)["group"]) == set(rows["group"])
    assert Baseline.of_run(folder).lines


FIXED = """
class Fixed(torch.nn.Module):
    def forward(self, images):
        assert images.shape[-1] == 32, "images have 32 columns"
        return images.roll(1, -1)
"""


def test_a_transform_that_a_network_refuses_stops_no_other(plugin, tmp_path):
    fields = {"models": [f"{plugin(FIXED)}:Fixed"], "shifts": "random:n=2,max=4"}
    found = run(config(**fields), tmp_path / "run", progress=False)
    assert set(found.rows()["transform"]) == {"circular", "d4", "fourier"}
    assert found.failures
    assert all("(input (2, 1, 16, 16))" in failure["message"] for failure in found.failures)


def test_a_window_that_images_are_too_small_for_stops_no_other_transform(tmp_path):
    fields = {"transforms": ["crop:window=64", "crop:window=96,label=wide", "d4:grid=1"]}
    found = run(config(**fields), tmp_path / "run", progress=False)
    assert set(found.rows()["transform"]) == {"d4"}
    first, second = found.failures[0]["message"].split("; ")
    assert "a window of 64 pixels is larger than an image" in first
    assert "a window of 96 pixels is larger than an image" in second
