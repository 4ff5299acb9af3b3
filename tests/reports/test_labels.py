"""How reports show networks that label pixels."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from equibench.reports.findings.run_data import RunData
from equibench.reports.page.label_maps import label_views
from equibench.reports.page.page import render
from equibench.reports.page.plain_words import cards, sentences
from equibench.reports.page.worst_cases import worst_cases
from equibench.reports.tables.summary_table import summary_table
from equibench.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels")
    random = np.random.default_rng(0)
    for name in ("photos", "masks"):
        (path / name).mkdir()
    for i in range(2):
        photo = random.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(photo).save(path / f"photos/{i}.png")
        classes = random.integers(0, 3, (32, 32), dtype=np.uint8)
        Image.fromarray(classes).save(path / f"masks/{i}.png")
    return path


@pytest.fixture(scope="module")
def run(folder):
    from equibench.measurement.run_config import validated
    from equibench.runs.runner import run as measure

    models = [
        f"unet-{name},width=0.0625,out_channels=3,label={name},out.labels=argmax"
        for name in ("baseline", "aps")
    ]
    suite = f"folder,path={folder / 'photos'},labels={folder / 'masks'}"
    fields = {"models": models, "suites": [suite], "shifts": "random:n=3,max=4"}
    measure(validated(fields, "test"), folder / "run", progress=False)
    return RunData.read(RunFolder(folder / "run"))


def test_a_table_shows_what_is_measured_of_labels_with_the_direction_of_each(run):
    text = summary_table(run.summary)
    similar = [f"{title} between outputs ↑" for title in ("pixel agreement", "IoU", "Dice")]
    for heading in (*similar, "Δpixel agreement ↓", "ΔIoU ↓"):
        assert heading in text
    assert "NMSE" not in text
    latex = summary_table(run.summary, format="latex")
    assert r"Dice between outputs $\uparrow$" in latex


def test_the_legend_of_the_page_names_what_its_charts_show_of_labels(run):
    legend = render({"run": run}).partition('class="muted legend"')[2].partition("</p>")[0]
    assert "mean error (1 − pixel agreement between outputs)" in legend
    assert "NMSE" not in legend


@pytest.mark.parametrize("format", ["markdown", "latex", "text"])
def test_dice_of_both_outputs_and_dice_against_masks_never_share_a_name(run, format):
    for metric, which in (("eq_dice", "between outputs"), ("dice", "with the truth")):
        text = summary_table(run.summary, format=format, metrics=[metric])
        assert f"Dice {which}" in text
        assert text.count("Dice") == 1 + text.count("left out for width")
    page = render({"run": run}, [])
    heading = page.partition('id="sheet"')[2].partition("</tr>")[0]
    assert "Dice between outputs ↑" in heading
    assert "with the truth, unshifted" in heading
    charts = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert "1 − Dice between outputs" in [metric["title"] for metric in charts["metrics"]]
    assert "Dice with the truth" in [quality["title"] for quality in charts["quality"]]


def test_sentences_and_cards_count_pixels(run):
    line = run.summary.set_index("model").loc["baseline"]
    share = 100 * (1 - line["eq_agreement_mean"])
    (base, aps) = sentences({"run": run})
    assert f"its labelling changes in {share:.0f}\N{NO-BREAK SPACE}% of the pixels" in base.text
    assert "no shift changes its output beyond rounding" in aps.text
    (card,) = cards({"run": run})
    assert "of the pixels on average" in card.worst.says


def decoded(source):
    stream = io.BytesIO(base64.b64decode(source.partition(",")[2]))
    return np.asarray(Image.open(stream).convert("RGB"))


def test_label_maps_are_shown_with_the_changed_pixels_in_red():
    plain = torch.zeros(3, 4, 5)
    plain[0] = 1
    aligned = plain.clone()
    aligned[:, 1, 2] = torch.tensor([0, 0, 1])
    views = label_views(plain, aligned)
    output, shifted, marked = (decoded(views[n]) for n in ("output", "shifted", "difference"))
    red = (marked == (214, 39, 40)).all(axis=-1)
    assert np.argwhere(red).tolist() == [[1, 2]]
    assert np.argwhere((output != shifted).any(axis=-1)).tolist() == [[1, 2]]
    assert views["largest"] == 1 / 20
    same = label_views(plain, plain)
    assert same["difference"] == ""
    assert same["output"] == same["shifted"]


def test_the_worst_case_is_made_again_as_labels(run):
    gallery = worst_cases("run", run, seconds=60)
    assert gallery.notes == []
    base, aps = gallery.pictures
    assert base.labels
    assert base.largest == pytest.approx(1 - base.numbers["eq_agreement"], abs=1e-12)
    assert {"eq_dice", "delta_dice", "dice", "dice_shifted"} <= set(base.numbers)
    assert aps.difference == ""


def test_the_page_explains_the_metrics_of_labels(run):
    page = render({"run": run}, [])
    assert "Intersection over union of the pixels" in page
    assert "How much an output&#39;s Dice changes under the shift" in page
