"""The error by distance to the border: what is boundary falls to the floor, sampling stays."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import equibench as eb
from equibench.reports.figures.border import border_figure
from equibench.reports.findings.border_profile import BorderProfile, border_profiles
from equibench.reports.findings.run_data import RunData
from equibench.reports.tables.table_files import TABLES
from equibench.statistics.summary import kept_apart, summarize

CROP = "crop:grid:max=3,step=1,window=48"


def convolution():
    return nn.Conv2d(1, 1, 3, padding=1)


def measured(name, *layers):
    torch.manual_seed(0)
    model = nn.Sequential(*(layer() for layer in layers)).eval()
    images = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    rows = eb.evaluate(model, images, transforms=[CROP], device="cpu", progress=False).rows
    return rows.assign(model=name)


@pytest.fixture(scope="module")
def data():
    rows = pd.concat(
        [
            measured("padded", *[convolution] * 3),
            measured("pooled", convolution, lambda: nn.MaxPool2d(2), lambda: nn.Upsample(None, 2)),
            measured("exact", nn.Identity),
        ]
    ).reset_index(drop=True)
    summary = summarize(rows)
    return RunData(lambda: kept_apart(rows), kept_apart(summary), {}, ())


def test_borders_of_a_padded_network_reach_as_far_as_its_receptive_field(data):
    padded, _, _ = border_profiles(data.shifted)
    assert padded.reach == 3
    assert padded.inside == 0
    assert padded.errors[3:].max() < 1e-12 < 1e-6 < padded.errors[:3].min()
    assert (padded.boundary, padded.sampling) == (1, 0)
    assert padded.reached == "3"


def test_pooling_keeps_a_plateau_however_far_from_the_border(data):
    _, pooled, _ = border_profiles(data.shifted)
    assert pooled.inside > 0.01
    assert pooled.errors.min() > 0.001
    assert pooled.sampling > 0.5
    assert not pooled.falls


def test_without_an_error_there_is_nothing_to_share(data):
    *_, exact = border_profiles(data.shifted)
    assert exact.reach == 0
    assert exact.sampling != exact.sampling


def test_an_error_that_still_falls_in_the_middle_is_said_to_reach_further():
    falling = 10.0 ** -np.arange(24)
    profile = BorderProfile("net", "images", "crop", falling, overlap=0.1, rounding=1e-30)
    assert profile.falls
    assert profile.reached == "> 18"


def test_the_mean_over_pixels_is_the_error_of_the_overlap():
    rows = measured("padded", convolution)
    straight = rows[(rows["draw"] == 0)].iloc[0]
    shifted = rows[(rows["dy"] == 0) & (rows["dx"] == 0)].iloc[0]
    assert straight["overlap_nmse"] == shifted["overlap_nmse"] == shifted["eq_nmse"]
    moved = rows[rows["draw"] > 0]
    # with a margin of 0 the overlap is what is compared
    assert moved["overlap_nmse"].to_numpy() == pytest.approx(moved["eq_nmse"].to_numpy(), rel=1e-9)


def test_the_table_says_how_much_is_boundary_and_how_much_sampling(data):
    text = TABLES["border"](data)["md"]
    lines = {line.split("|")[2].strip(): line for line in text.splitlines() if "images" in line}
    assert [cell.strip() for cell in lines["padded"].split("|")[-5:-1]] == ["0", "3", "100%", "0%"]
    assert TABLES["border"](data.circular) == {}


def test_the_figure_draws_a_line_for_each_model(data):
    figure = border_figure(data)
    (panel,) = figure.axes
    assert [len(line.get_ydata()) for line in panel.lines] == [23, 23, 23]  # of 45 pixels
    assert border_figure(data.circular) is None
