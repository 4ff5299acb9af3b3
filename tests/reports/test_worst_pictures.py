"""Worst cases are shown of every transform; volumes as slices, signals as lines."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from equibench.reports.findings.run_data import RunData
from equibench.reports.page.chart_data import payload
from equibench.reports.page.worst_cases import worst_cases
from equibench.reports.registered import figures, html, tables
from equibench.runs.run_folder import RunFolder

OTHERS = ("crop:random:n=2,max=2,window=16", "tile:size=16", "d4", "intensity:a=0.5,b=1")


def pixels(uri):
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(image.convert("L")).astype(float)


@pytest.fixture
def shown(cli, tmp_path):
    def run(dims, size, *options):
        model = f"unet-baseline,dims={dims},levels=1,width=0.05"
        suite = f"noise,n=2,size={size},dims={dims}"
        cli("run", "-m", model, "-s", suite, *options, "--out", "run")
        data = RunData.read(RunFolder(tmp_path / "run"))
        gallery = worst_cases("run", data, seconds=60)
        assert gallery.notes == []
        return data, gallery.pictures

    return run


@pytest.mark.slow
def test_every_transform_has_a_picture_of_its_worst_element(shown):
    texts = [text for each in OTHERS for text in ("--transform", each)]
    data, pictures = shown(2, 32, "--shifts", "random:n=2,max=4", *texts)
    assert [p.subset for p in pictures] == ["noise", *(f"noise, {n}" for n in
                                            ("crop", "tile", "d4", "intensity"))]  # fmt: skip
    circular, *others = pictures
    assert (len(circular.shift), circular.element, circular.moved) == (2, "", "")
    for picture in others:
        line = data.summary[data.summary["transform"] == picture.subset.partition(", ")[2]].iloc[0]
        assert picture.numbers["eq_nmse"] == line["eq_nmse_worst"]
        assert picture.shift == ()
        assert picture.moved.startswith("data:image/webp;base64,")
        named = line.get("eq_nmse_worst_element")
        assert picture.element == (named if isinstance(named, str) else picture.element)
        assert picture.element
    crop, tile, turned, _ = others
    assert pixels(crop.input).shape == (16, 16)
    assert pixels(tile.moved).shape == (16, 16)
    assert pixels(tile.input).shape == (32, 32)
    assert not np.array_equal(pixels(turned.moved), pixels(turned.input))


def test_the_slice_of_a_volume_is_the_one_that_errs_most(shown):
    data, (picture,) = shown(3, 8, "--shifts", "random:n=3,max=4")
    line = data.summary.iloc[0]
    assert picture.shift == tuple(line[f"eq_nmse_worst_{axis}"] for axis in ("dz", "dy", "dx"))
    assert 0 <= picture.slice < 8
    for uri in (picture.input, picture.moved, picture.output, picture.difference):
        assert pixels(uri).shape == (8, 8)
    assert not picture.line


@pytest.mark.slow
def test_a_signal_is_a_line(shown):
    _, (picture,) = shown(1, 64, "--shifts", "all")
    assert picture.line
    assert len(picture.shift) == 1
    drawn = pixels(picture.output) < 128
    assert drawn.any(axis=0).all()
    assert drawn.mean() < 0.5


@pytest.mark.long
@pytest.mark.parametrize("dims", [1, 3])
def test_page_figures_and_tables_are_made_of_signals_and_of_volumes(shown, dims, tmp_path):
    data, _ = shown(dims, 8 if dims == 3 else 64, "--shifts", "all")
    (series,) = payload({"run": data})["series"]
    assert len(series["points"]["shifts"]) == dims
    assert series["maps"]["eq_nmse"]["axes"] == dims
    assert set(series["octaves"]) == {"both", *("dz", "dy", "dx")[-dims:]}
    run = RunFolder(tmp_path / "run")
    (page,) = html(run, tmp_path / "out")
    classes = " × ".join(["2"] * dims)
    assert f">{classes}<" in page.read_text(encoding="utf-8")
    assert figures(run, tmp_path / "out", only=["heatmap", "power-of-two"])
    (latex,) = [f for f in tables(run, tmp_path / "out", only=["summary"]) if f.suffix == ".tex"]
    shift = data.summary.iloc[0][[f"eq_nmse_worst_{a}" for a in ("dz", "dy", "dx")[-dims:]]]
    assert f"({', '.join(str(int(k)) for k in shift)})" in latex.read_text(encoding="utf-8")
