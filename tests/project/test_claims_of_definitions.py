"""Thresholds, counts and orders that the documentation states are those of the code."""

import csv
import re
import runpy
from functools import partial
from importlib.metadata import entry_points
from math import inf, sqrt
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

import equibench as eb
from equibench.board.definition import read_board
from equibench.commands.inventory import Kind
from equibench.evaluation.batch_tuning import CANDIDATES
from equibench.evaluation.model_on_suite import WORTHWHILE
from equibench.evaluation.screening import WORST
from equibench.evidence.stride_probing import PROBED
from equibench.foundation.rounding import NEAR_TIE, allowance
from equibench.guard.gate import SAMPLING
from equibench.guard.output_sketch import PROJECTIONS
from equibench.mending import comparison, saving
from equibench.metrics.structural_similarity import ssim
from equibench.runs.engines.dask_cluster import PATIENCE
from equibench.statistics.confidence_intervals import CARRIERS, FEWEST, interval
from equibench.suites import fbp
from equibench.suites.samples import tissues
from equibench.transforms.crop import _BINS
from equibench.transforms.quarter_turns import QuarterTurns
from equibench.transforms.transform_specs import parse_transform

ROOT = Path(__file__).parents[2]


def said(page):
    """A page with single spaces in the place of line breaks."""
    return re.sub(r"\s+", " ", (ROOT / page).read_text(encoding="utf-8"))


THRESHOLDS = {
    "docs/measurement.md": {
        "fewer than eight clusters, where fewer than five carry": (FEWEST, CARRIERS) == (8, 5),
        "norms differ by at most 1e-6": NEAR_TIE == 1e-6,
        "the larger of ten floors and (30 ε)²": (
            allowance("fp64", 1.0), allowance("fp64", 0.0)
        ) == (10, (30 * 2.0**-52) ** 2),
        "`--shifts all` probes the first two cases": PROBED == 2,
    },
    "docs/evidence.md": {"the three worst of each case by every metric": WORST == 3},
    "docs/proof.md": {"at least 4 million pixels under all classes": WORTHWHILE == 2**22},
    "docs/gpu.md": {
        "`auto` chooses no less than 2": min(map(min, CANDIDATES.values())) == 2,
    },
    "docs/guard.md": {
        "their energy and eight random projections": PROJECTIONS == 8,
        "move by four standard errors of the difference": SAMPLING == 4,
    },
    "docs/cluster.md": {"the run says why after a minute and stops": PATIENCE == 60},
    "docs/commands.md": {
        "loses at most 0.1 dB without retraining": comparison._NO_LOSS == 0.1,
        "in batches of up to 4096": saving._MOST == 4096,
        f"`equibench ls [{'|'.join(get_args(Kind))}] [TEXT]`": True,
    },
    "docs/transforms.md": {
        "what lies 255 pixels inside or more is one distance": _BINS == 256,
        "each rotation takes `grid`² passes": QuarterTurns(grid=3).count() == 7 * 3**2,
    },
    "docs/data.md": {
        "Hann filter at 0.641": fbp.CUTOFF == 0.641,
        "gas is below −400 and bone above 200 HU": (tissues.GAS, tissues.BONE) == (-400, 200),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("page", "sentence"), [(p, s) for p, found in THRESHOLDS.items() for s in found]
)
def test_a_threshold_that_a_page_names_is_that_of_the_code(page, sentence):
    assert sentence in said(page)
    assert THRESHOLDS[page][sentence]


# What is measured


def test_data_ranges_are_the_maximum_but_for_psnr_on_lodopab_and_ct_sample():
    assert "for PSNR on LoDoPaB-CT and `ct-sample` it is maximum − minimum" in said(
        "docs/measurement.md"
    )
    suites = {each.name: each.load() for each in entry_points(group="equibench.suites")}
    assert {n: dict(s.data_range) for n, s in suites.items() if s.data_range} == {
        name: {"psnr": "range"} for name in ("lodopab", "ct-sample")
    }


def test_the_mean_over_the_windows_of_ssim_is_added_up_in_float64():
    a = torch.rand(1, 1, 16, 16)
    sums = ssim.partials(ssim.prepare(a, torch.ones(1, dtype=torch.float64)), a + 0.1, None)
    assert sums.dtype == torch.float64


def test_what_has_no_best_value_has_an_interval_only_where_all_clusters_are_beyond_rounding():
    assert "there is none where any cluster is within rounding" in said("docs/measurement.md")
    sums, beyond = np.arange(10.0), np.arange(10) > 0
    assert interval(sums, np.ones(10), best=inf).reason == ""
    found = interval(sums, np.ones(10), best=inf, beyond=beyond)
    assert found.reason == "within rounding in 1 of 10 clusters"


# What it costs


def test_the_total_stride_of_an_image_of_another_size_takes_some_thirty_passes():
    assert "costs some thirty passes more, for its total stride" in said("docs/mend.md")
    passes = []

    def network(x):
        passes.append(len(x))
        return nn.functional.interpolate(nn.functional.max_pool2d(x, 16), scale_factor=16)

    mended = eb.mend(network, "canonical")
    for _ in range(2):
        mended(torch.randn(1, 1, 320, 320))
    assert passes[-1] == 1
    assert 25 < sum(passes) - 2 < 40


def test_a_proof_spares_as_much_of_the_arithmetic_as_is_said():
    """Of an encoder at stride s, s² of 16² classes pass; of all that comes behind it, each."""
    assert "a quarter is spared for the paper's baseline" in said("docs/proof.md")
    network = eb.load_model("unet-baseline,width=0.125").eval()
    early, size, whole = ("stem", "down", "encoder"), 32, 16
    spent = {True: 0.0, False: 0.0}

    def count(name, layer, x, y):
        pixels = (y if isinstance(layer, nn.Conv2d) else x[0])[0, 0].numel()
        products = pixels * layer.weight.numel()
        stride = size // y.shape[-1] if name.startswith(early) else whole
        spent[True] += products * stride**2 / whole**2
        spent[False] += products

    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(partial(count, name))
    with torch.inference_mode():
        network(torch.zeros(1, 1, size, size))
    assert 1 - spent[True] / spent[False] == pytest.approx(0.25, abs=0.01)


def test_a_network_takes_as_many_passes_for_the_board_as_is_said():
    assert "about 400 passes of at most 224×224 pixels" in said("docs/board.md")
    board = read_board()
    plans = [f"circular:{board.settings.shifts}", *board.settings.transforms]
    size = (224, 224)
    each = [2 + len(parse_transform(plan).elements(0, "s", "c", size)) for plan in plans]
    assert sum(each) * board.settings.limit == pytest.approx(400, rel=0.05)


def test_the_benchmark_of_many_rows_has_the_images_that_are_said():
    assert "nine models on 7135, 3553 and 1000 images with 190 rows each" in said("docs/scale.md")
    synthetic = runpy.run_path(str(ROOT / "benchmarks/synthetic.py"))
    images = [number for number, _ in synthetic["SUITES"].values()]
    assert (len(synthetic["MODELS"]), images) == (9, [7135, 3553, 1000])


# Adapters


def test_adapters_stand_on_the_page_in_the_order_in_which_they_are_applied():
    text = (ROOT / "docs/own-model.md").read_text(encoding="utf-8")
    keys = re.findall(r"^\| `(out\.\w+)=", text, re.MULTILINE)
    order = ["select", "scale", "resize", "restore", "channel", "channels", "labels"]
    assert list(dict.fromkeys(keys)) == [f"out.{key}" for key in order]
    small = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 3, 1))
    adapters = "out.resize=nearest,out.channel=1,out.labels=threshold:0"
    adapted, x = eb.adapt(small, adapters), torch.randn(1, 1, 8, 8)
    raw = small(x).repeat_interleave(2, 2).repeat_interleave(2, 3)[:, 1:2]
    assert torch.equal(adapted(x)[:, 1:], (raw > 0).float())


# How the project is kept


def test_the_standard_error_of_mutation_scores_is_at_most_five_percent():
    sentence = "the share has a standard error of at most five per cent"
    assert sentence in said("CONTRIBUTING.md")
    with (ROOT / "results/mutation/scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    errors = []
    for row in rows:
        mutants, tried, killed = (int(row[name]) for name in ("mutants", "tried", "killed"))
        if tried < mutants:
            share = killed / tried
            errors.append(sqrt(share * (1 - share) / tried * (1 - tried / mutants)))
    assert max(errors) < 0.055


def test_hardly_any_module_has_more_than_300_lines():
    assert "hardly ever more than 300 lines" in said("CONTRIBUTING.md")
    files = [f for room in ("harness", "models", "suites", "reports")
             for f in (ROOT / room).rglob("*.py")]  # fmt: skip
    long = [f for f in files if len(f.read_text(encoding="utf-8").splitlines()) > 300]
    assert len(long) < 0.05 * len(files)
