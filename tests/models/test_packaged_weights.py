"""The weights that come with the package: all of them, small, and really trained."""

import hashlib
import runpy
from pathlib import Path

import pandas as pd
import pytest

import equibench as eb
from equibench.loading.load import load_spec
from equibench.loading.weights import read_weights
from equibench.models.training.recipes import Recipe, recipe
from equibench.registry.registries import MODELS
from equibench.registry.specs import Spec

VARIANTS = [entry.name for entry in MODELS.entries() if "paper" in entry.info.details]
PACKAGED = [
    *((name, suite) for name in VARIANTS for suite in ("mri-sample", "ct-sample")),
    *(("unet-baseline", f"{suite}-da") for suite in ("mri-sample", "ct-sample")),
]
LABELLING = [
    *((name, "seg-sample") for name in VARIANTS),
    ("unet-baseline", "seg-sample-da"),
]
RESULTS = Path(__file__).parents[2] / "results"
TABLE = pd.read_csv(RESULTS / "weights.csv")
LABELS = pd.read_csv(RESULTS / "weights-of-labels.csv")
TOOL = runpy.run_path(str(RESULTS.parent / "tools/train_samples.py"))


def test_all_packaged_weights_together_take_less_than_20_megabytes():
    files = [file for name in VARIANTS for file in MODELS.get(name).info.weights.values()]
    assert len(files) == len(PACKAGED) + len(LABELLING)
    assert sum(file.stat().st_size for file in files) < 20e6


@pytest.mark.parametrize(("variant", "weights"), PACKAGED)
def test_packaged_weights_load_by_name_and_are_small(variant, weights):
    file = MODELS.get(variant).info.weights[weights]
    assert file.stat().st_size <= 1.2e6
    spec = Spec(variant, {"width": 0.125}, weights=weights)
    trained = load_spec(spec).provenance["trained"]
    assert (trained["model"], trained["suite"]) == (variant, weights.removesuffix("-da"))
    assert trained["recipe"]["shift_augment"] == (16 if weights.endswith("-da") else 0)
    assert trained["seed"] in TOOL["SEEDS"]
    assert "dirty" not in trained["commit"]


@pytest.mark.parametrize(("variant", "weights"), PACKAGED)
def test_the_table_of_weights_is_of_these_files(variant, weights):
    (line,) = TABLE.query("variant == @variant and weights == @weights").to_dict("records")
    file = MODELS.get(variant).info.weights[weights]
    trained = read_weights(file).trained
    assert line["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert line["seed"] == trained["seed"]
    assert line["psnr"] == pytest.approx(trained["validation"]["psnr"], abs=1e-4)
    gain = line["psnr"] - line["psnr_of_input"]
    assert line["psnr_gain"] == pytest.approx(gain, abs=2e-4)


@pytest.mark.parametrize(("variant", "weights"), PACKAGED)
def test_packaged_networks_have_the_recipe_of_their_suite_and_no_fault(variant, weights):
    (line,) = TABLE.query("variant == @variant and weights == @weights").to_dict("records")
    assert list(TOOL["faults"](line)) == []
    suite = weights.removesuffix("-da")
    preset, _, start = TOOL["TRAININGS"][suite]
    trained = read_weights(MODELS.get(variant).info.weights[weights]).trained
    changes = TOOL["DA"] if weights.endswith("-da") else {}
    assert (trained["preset"], Recipe(**trained["recipe"])) == (preset, recipe(preset, **changes))
    assert trained.get("from") == (start and weights.replace(suite, start))


@pytest.mark.parametrize(("variant", "weights"), [one for one in PACKAGED if "ct" in one[1]])
def test_packaged_networks_for_ct_begin_with_the_packaged_ones_for_mri(variant, weights):
    files = MODELS.get(variant).info.weights
    start = files[weights.replace("ct", "mri")].read_bytes()
    assert read_weights(files[weights]).trained["from_sha256"] == hashlib.sha256(start).hexdigest()


@pytest.mark.long
def test_what_the_table_says_of_levels_is_what_a_network_loses_without_them():
    line = TABLE.query("variant == 'unet-baseline' and weights == 'mri-sample'").iloc[0]
    model = eb.load_model("unet-baseline,width=0.125,weights=mri-sample")
    levels = eb.ablate_levels(model, "mri-sample").set_index("stride")
    for stride in TOOL["LEVELS"]["mri-sample"]:
        cost = levels["psnr"][1] - levels["psnr"][stride]
        assert cost == pytest.approx(line[f"cost_{stride}"], abs=1e-3)


@pytest.mark.parametrize(("variant", "weights"), LABELLING)
def test_packaged_weights_for_labels_load_by_name_and_are_of_one_recipe(variant, weights):
    spec = Spec(variant, {"width": 0.05, "out_channels": 4}, weights=weights)
    trained = load_spec(spec).provenance["trained"]
    shifts = 16 if weights.endswith("-da") else 0
    assert Recipe(**trained["recipe"]) == recipe("sample-seg", shift_augment=shifts)
    assert (trained["model"], trained["suite"], trained["seed"]) == (variant, "seg-sample", 0)
    assert "dirty" not in trained["commit"]


@pytest.mark.parametrize(("variant", "weights"), LABELLING)
def test_packaged_weights_for_labels_are_right_of_nine_pixels_in_ten(variant, weights):
    (line,) = LABELS.query("variant == @variant and weights == @weights").to_dict("records")
    trained = read_weights(MODELS.get(variant).info.weights[weights]).trained
    for name in ("agreement", "iou", "dice"):
        assert line[name] == pytest.approx(trained["validation"][name], abs=1e-4)
    assert line["agreement"] >= 0.9


@pytest.mark.slow
def test_shifts_change_labels_of_the_packaged_baseline_and_not_of_aps_3():
    worst = {}
    for variant in ("unet-baseline", "unet-aps-3"):
        model = f"{variant},width=0.05,out_channels=4,weights=seg-sample,out.labels=argmax"
        rows = eb.evaluate(
            model, "seg-sample", shifts="random:n=2,max=16", limit=1, progress=False
        ).rows
        worst[variant] = rows["eq_agreement"].min()
    assert worst["unet-baseline"] < 0.999
    assert worst["unet-aps-3"] > 0.9999
