"""Names and figures in the documentation are those of the code and of the stored files."""

import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import equibench as eb
from equibench.measurement.run_config import RunConfig, read_config, validated
from equibench.measurement.settings import AUTO_BATCH
from equibench.models.training.recipes import PRESETS, preset_for
from equibench.registry.registries import MODELS, SUITES
from equibench.registry.specs import Spec
from equibench.suites.fastmri import FastMRI
from equibench.suites.imagenet import ImageNet
from equibench.suites.lodopab import LoDoPaB
from equibench.suites.samples.drawn_ct import BODIES
from equibench.transforms.shift_plans import parse_shifts

ROOT = Path(__file__).parents[2]
DOCS = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")}
PUBLISHED = ROOT / "results/published"
FINDINGS = re.sub(r"\s+", " ", (PUBLISHED / "README.md").read_text(encoding="utf-8"))


def seeds_of(suite):
    return pd.read_csv(ROOT / f"results/seeds-{suite}.csv", index_col=["network", "seed"])


def table(page, head):
    """The cells of a table that begins with some cells: {first cell: the others}."""
    lines = DOCS[page][DOCS[page].index(head) :].split("\n\n")[0].splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if not line.startswith("|---")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


@pytest.mark.parametrize("name", ["rows_table", "every_shift_table"])
def test_the_page_of_large_runs_has_the_figures_of_the_stored_benchmarks(name):
    tool = runpy.run_path(str(ROOT / "tools/benchmark_table.py"))
    results = json.loads(tool["FIGURES"].read_text(encoding="utf-8"))
    assert tool[name](results) in DOCS["scale"]


def test_the_page_of_treatments_has_the_figures_of_the_stored_benchmarks():
    tool = runpy.run_path(str(ROOT / "tools/benchmark_table.py"))
    results = json.loads(tool["MENDING_FIGURES"].read_text(encoding="utf-8"))
    assert tool["mending_table"](results) in DOCS["mend"]


def test_the_options_of_train_and_its_presets_are_those_of_the_code():
    rows = table("commands", "| option | meaning | `paper-mri`")
    names = [name.strip("`") for name in rows.pop("option")[1:]]
    assert names == list(PRESETS)

    def cell(value):
        if isinstance(value, list):
            return ", ".join(map(str, value)) or "–"
        return value if isinstance(value, str) else f"{value:g}"

    recipes = {
        row.strip("`").removeprefix("--").split()[0].replace("-", "_"): cells[1:]
        for row, cells in rows.items()
    }
    assert recipes == {
        field: [cell(getattr(PRESETS[name], field)) for name in names]
        for field in type(PRESETS["sample"]).model_fields
    }
    assert preset_for("fastmri") == "paper-mri"
    assert preset_for("lodopab") == "paper-ct"
    assert preset_for("mri-sample") == "sample-mri"


def test_the_defaults_of_run_are_those_of_the_code():
    rows = table("commands", "| option | meaning | default |\n|---|---|---|\n| `-m`")
    default = RunConfig(models=("m",), suites=("s",))
    for option, (_, said) in rows.items():
        field = option.strip("`").removeprefix("--")
        if field in ("shifts", "device", "precision", "batch", "seed", "engine"):
            assert said.strip("`") == str(getattr(default, field)), option
        elif field in ("exhaustive", "trust-pickle", "isolate"):
            assert (said, getattr(default, field.replace("-", "_"))) == ("off", False), option
    assert (
        f"`auto` is {AUTO_BATCH['cpu']} on a CPU and {AUTO_BATCH['cuda']} on a GPU"
        in (rows["`--batch`"][0])
    )


def test_every_plan_of_shifts_that_is_documented_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shifts.csv").write_text("dy,dx\n1,2\n")
    plans = [plan.strip("`") for plan in table("commands", "| plan | shifts of each case |")]
    assert len(plans[1:]) == 5
    for plan in plans[1:]:
        parse_shifts(plan)


def test_packaged_weights_have_the_names_that_are_documented():
    variants = [e.name for e in MODELS.entries() if "paper" in e.info.details]
    for name in variants:
        known = {"mri-sample", "ct-sample", "seg-sample"}
        known |= {f"{suite}-da" for suite in known} if name == "unet-baseline" else set()
        assert set(MODELS.get(name).info.weights) == known
    sentence = "every variant has `mri-sample` and `ct-sample` at\nwidth 0.125, the baseline also"
    assert f"{sentence} `mri-sample-da` and `ct-sample-da`" in DOCS["commands"]
    assert (
        "`seg-sample` and `seg-sample-da`, are for `width=0.05,out_channels=4`" in DOCS["commands"]
    )


def test_the_sizes_of_data_sets_are_those_that_are_verified():
    train, val = FastMRI.expected["train"], FastMRI.expected["val"]
    of_ct = LoDoPaB.expected
    text = re.sub(r"\s+", " ", DOCS["data"])
    assert (
        f"({train} training slices; {val} validation slices in {FastMRI.volumes['val']} volumes; "
        f"LoDoPaB-CT {of_ct['train']}, {of_ct['validation']} and {of_ct['test']}; "
        f"ImageNet {ImageNet.expected})"
    ) in text


@pytest.mark.parametrize(
    ("suite", "said", "size"),
    [
        ("mri-sample", "18 brain MRI slices", (1, 1, 320, 320)),
        ("ct-sample", "12 thoracic CT slices", (1, 1, 352, 352)),
        ("photo-sample", "12 photographs", (1, 1, 224, 224)),
    ],
)
def test_embedded_suites_hold_what_is_documented(suite, said, size):
    found = eb.load_suite(suite)
    assert table("data", "| suite | case |")[f"`{suite}`"][1].startswith(said)
    assert len(found.cases()) == int(said.split()[0])
    assert found.load(found.cases()[0]).input.shape == size


def test_embedded_networks_are_trained_on_what_is_said():
    text = re.sub(r"\s+", " ", DOCS["paper"])
    sizes = {"mri-sample,split=train": 20, "ct-sample,part=train": 16}
    assert {name: len(eb.load_suite(name).cases()) for name in sizes} == sizes
    mri, ct = PRESETS["sample-mri-unet"], PRESETS["sample-ct-unet"]
    for preset, said in (
        (mri, "drawn from twenty slices of one patient and from the MNI152 template"),
        (ct, "mixed from scans of sixteen slices of one patient and of eighty made-up chests"),
    ):
        assert f"{preset.epochs * preset.drawn:,} images {said}" in text
    assert BODIES - sizes["ct-sample,part=train"] == 80
    assert "a quarter of the images [lose skip connections]" in text
    assert {mri.skip_dropout, ct.skip_dropout} == {0.25}


def test_embedded_networks_use_all_levels_as_is_said():
    text = re.sub(r"\s+", " ", DOCS["paper"])
    weights = pd.read_csv(ROOT / "results/weights.csv")
    least = {"mri": 0.35, "ct": 0.25}
    assert f"for less than {least['mri']} dB on MRI or {least['ct']} dB on CT" in text
    for suite, cost in least.items():
        lines = weights[weights["weights"].str.startswith(suite)]
        assert lines[["cost_2", "cost_4", "cost_8", "cost_16"]].min(axis=None) >= cost


def test_noise_has_the_deviation_that_is_documented():
    suite = eb.load_suite("noise,n=1,size=256")
    assert "white Gaussian noise of standard deviation 1000" in DOCS["data"]
    # of 65536 samples, the standard deviation has a relative standard error of 0.28 %
    assert float(suite.load("00000").input.std()) == pytest.approx(1000, rel=0.015)


def test_the_default_plan_of_the_guard_has_every_residue_of_strides_2_and_4():
    assert "24 of them, every residue of strides 2 and 4" in DOCS["guard"]
    shifts = parse_shifts("grid:max=8,step=3").shifts(0, "", "", (32, 32))
    assert len(shifts) == 24
    for stride in (2, 4):
        residues = {tuple(k) for k in (np.vstack((shifts, [[0, 0]])) % stride).tolist()}
        assert len(residues) == stride**2


def test_what_is_said_of_the_paper_s_own_numbers_follows_from_them():
    mri = pd.read_csv(ROOT / "results/paper/table1_mri.csv", index_col="model")["eq_nmse_pd"]
    ct = pd.read_csv(ROOT / "results/paper/table4_ct.csv", index_col="model")["eq_nmse"]
    largest = mri[[name for name in mri.index if name.startswith("APS")]].max()
    text = re.sub(r"\s+", " ", DOCS["paper"])
    said = f"PD volumes is {mri['LPF-5'] / largest:.0f} times, not 100 times, below LPF-5's"
    assert said in text
    assert "on CT LPF-3 has less error than LPF-5" in text
    assert ct["LPF-3"] < ct["LPF-5"]


def test_the_libraries_example_has_as_many_networks_as_is_said():
    """Twelve of them beside the nine variants; twelve of segmentation-models-pytorch in all."""
    import tomllib

    content = tomllib.loads((ROOT / "examples/libraries.toml").read_text(encoding="utf-8"))
    others, *paper = (block["models"] for block in (content, *content["also"]))
    assert [len(others), *map(len, paper)] == [12, 9, 9]
    smp = [e.name for e in MODELS.entries() if e.name.startswith("smp-")]
    assert "`smp-unet`, `smp-fpn`, `smp-deeplabv3plus` and nine more" in DOCS["own-model"]
    assert len(smp) == 3 + 9


CONFIGURATIONS = [
    file
    for folder in ("examples", "results", "harness")
    for file in sorted((ROOT / folder).rglob("*.toml"))
    if "models = [" in file.read_text(encoding="utf-8") and file.parent.name != "board"
]


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.name)
def test_configurations_name_models_and_suites_that_take_what_they_are_given(file):
    config = validated(read_config(file), str(file))
    for block in config.blocks:
        for registry, texts in ((MODELS, block.models), (SUITES, block.suites)):
            for spec in map(Spec.parse, texts):
                registry.get(spec.reference).check(spec.arguments)


# Published results


def test_no_published_command_writes_where_another_version_has_measured():
    files = [PUBLISHED / "README.md", *PUBLISHED.glob("*.toml")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    lines = [re.sub(r"^#\s*", "", line) for text in texts for line in text.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("equibench run")]
    assert len(commands) >= 2
    for command in commands:
        assert (ROOT / command[command.index("--config") + 1]).is_file()
        assert not (ROOT / command[command.index("--out") + 1]).exists()


@pytest.mark.parametrize("suite", ["mri-sample", "photo-sample"])
def test_the_published_networks_for_mri_stand_in_the_order_of_the_paper(suite):
    summary = pd.read_csv(PUBLISHED / "width-0.125/summary.csv")
    error = summary[summary["suite"] == suite].groupby("model")["eq_nmse_mean"].mean()
    others = ["unet-baseline", "unet-baseline-da", "unet-lpf-2", "unet-lpf-3", "unet-lpf-5"]
    assert error[others].is_monotonic_decreasing
    assert error.drop(others).index.tolist() == [
        "unet-aps",
        "unet-aps-2",
        "unet-aps-3",
        "unet-aps-5",
    ]
    assert error.drop(others).max() < 1e-13


def test_random_shifts_in_training_bring_the_published_baseline_what_is_said():
    summary = pd.read_csv(PUBLISHED / "width-0.125/summary.csv")
    error = summary.groupby(["suite", "model"])["eq_nmse_mean"].mean()
    known, other = (
        1 - error[suite, "unet-baseline-da"] / error[suite, "unet-baseline"]
        for suite in ("mri-sample", "photo-sample")
    )
    assert f"take {known:.0%} off".replace("%", " %") in FINDINGS
    assert f"on MRI and {other:.0%} on photographs".replace("%", " %") in FINDINGS
    assert "after 4,000 images" in FINDINGS


def test_three_seeds_decide_what_is_said_of_networks_for_mri():
    error = seeds_of("mri-sample").filter(like="eq_nmse on ")
    names = ["mri-sample", "photo-sample", "noise"]
    assert list(error) == [f"eq_nmse on {suite}" for suite in names]
    base, da, lpf = (error.loc[n] for n in ("unet-baseline", "unet-baseline + DA", "unet-lpf-3"))
    assert list(base.index) == list(da.index) == list(lpf.index) == [0, 1, 2]
    assert (lpf.max() < base.min()).all()
    assert (lpf.max() < da.min()).all()
    known, photos, _ = ((da / base - 1)[column] for column in error)
    assert f"DA takes {-100 * known.max():.0f} to {-100 * known.min():.0f} % off" in FINDINGS
    assert (photos > 0).sum() == 1
    assert f"adds {photos.max():.0%} to it on photographs".replace("%", " %") in FINDINGS
    assert "there the seed alone changes the baseline's error by more" in FINDINGS
    of_seeds = base["eq_nmse on photo-sample"].max() / base["eq_nmse on photo-sample"].min()
    assert of_seeds > max((1 + photos).max(), 1 / (1 + photos).min())


@pytest.mark.parametrize("suite", ["mri-sample", "ct-sample"])
def test_the_packaged_networks_are_among_those_of_several_seeds(suite):
    seeds = seeds_of(suite)["sha256"]
    weights = pd.read_csv(ROOT / "results/weights.csv").set_index(["variant", "weights"])
    packaged = {
        "unet-baseline": ("unet-baseline", suite),
        "unet-baseline + DA": ("unet-baseline", f"{suite}-da"),
        "unet-lpf-3": ("unet-lpf-3", suite),
    }
    for network, key in packaged.items():
        assert seeds[network, weights.loc[key, "seed"]] == weights.loc[key, "sha256"]


def test_the_published_networks_for_ct_err_as_is_said():
    rows = eb.RunFolder(PUBLISHED / "width-0.125").rows().query("suite == 'ct-sample'")
    error = rows.pivot_table("eq_nmse", "case", "model")
    mean = error.mean()
    names = ["unet-lpf-2-ct", "unet-lpf-3-ct", "unet-lpf-5-ct"]
    left = [f"{share:.0%}".replace("%", " %") for share in mean[names] / mean["unet-baseline-ct"]]
    assert "LPF-2 leaves {} of it, LPF-3 {}, LPF-5 {},".format(*left) in FINDINGS
    assert mean.filter(like="-aps").tolist() == [0, 0, 0, 0]
    assert mean["unet-lpf-2-ct"] < mean["unet-lpf-3-ct"]
    assert (error["unet-lpf-3-ct"] > error["unet-baseline-ct"]).sum() == 1
    assert len(error) == 12


def test_two_seeds_decide_what_is_said_of_networks_for_ct():
    error = seeds_of("ct-sample").pivot_table("eq_nmse on ct-sample", "seed", "network")
    assert list(error.index) == [0, 1]
    share = error.div(error["unet-baseline"], axis="index")
    da = share["unet-baseline + DA"] - 1
    summary = pd.read_csv(PUBLISHED / "width-0.125/summary.csv", index_col="model")
    published = summary["eq_nmse_mean"]
    lpf_2 = published["unet-lpf-2-ct"] / published["unet-baseline-ct"]
    assert share.loc[0, "unet-lpf-3"] < lpf_2 < share.loc[1, "unet-lpf-3"]
    assert f"it has {share.loc[0, 'unet-lpf-3']:.0%} of".replace("%", " %") in FINDINGS
    assert f"they add {da[0]:.0%} and {da[1]:.0%} to".replace("%", " %") in FINDINGS


@pytest.mark.slow
def test_padding_breaks_borders_alone_and_a_multiple_breaks_more(capsys):
    found = {}
    for code in re.findall(r"```python\n(.*?)```", DOCS["padding"], re.DOTALL):
        names = {}
        exec(code, names)
        found |= names["found"]
    capsys.readouterr()
    rounding = {key for key, value in found.items() if value < 1e-10}
    inside = {
        (padding, "crop:margin=2") for padding in ("zeros", "reflect", "replicate", "circular")
    }
    assert rounding == {("circular", "circular:random:n=10,max=16"), 64} | inside
    assert min(value for key, value in found.items() if key not in rounding) > 1e-3
