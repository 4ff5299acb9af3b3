"""equibench mend: before and after, one recommendation, files that hold the same."""

import json
from dataclasses import replace

import pytest

import equibench as eb
from equibench.mending.comparison import Comparison, Trial
from equibench.reports.diagnosis.mending import mending_files, mending_text

NET = """
def build():
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.ConvTranspose2d(4, 1, 2, 2),
    )
"""


@pytest.fixture
def mended(plugin, cli, tmp_path):
    """The command on a network that pads with zeros, with all of its files."""
    file = plugin(NET)
    status, out, _ = cli(
        "mend", f"{file}:build,label=net", "-s", "noise,n=1,size=16", "--shifts", "grid:max=2",
        "-o", "page", "--save", "mended.pt2",
    )  # fmt: skip
    assert status == 0
    return file, out, json.loads((tmp_path / "page/mend.json").read_text())


@pytest.mark.long
def test_every_treatment_is_measured_and_the_cheapest_exact_one_that_needs_no_training_taken(
    mended, cli, tmp_path
):
    file, out, found = mended
    trials = {trial["treatment"]: trial for trial in found["trials"]}
    assert {"circular", "circular+aps", "circular+blur", "circular+canonical"} <= set(trials)
    assert trials["circular"]["layers"] == 1
    assert trials["circular+aps"]["layers"] == 3
    assert trials["circular+blur"]["exact"] == ""
    exact = {"circular+aps", "circular+canonical", "circular+average:n=8"}
    assert all(trials[name]["worst"] <= 1e-12 for name in exact)
    assert trials["circular+canonical"]["exact"] == "proved"
    assert found["before"]["worst"] > 1e-3
    assert found["recommended"] is not None
    assert f"mend={found['recommended']}" in found["sentence"]
    assert found["sentence"] in out
    page = (tmp_path / "page/mend.html").read_text()
    assert all(name in page for name in trials)
    # what is saved loads again, to the same rows
    spec = f"{file}:build,mend={found['recommended']},label=net"
    same = [
        eb.evaluate(
            "mended.pt2,label=net" if saved else spec, "noise,n=1,size=16",
            shifts="random:n=3,max=4", trust_pickle=saved,
        ).rows["eq_nmse"].tolist()
        for saved in (True, False)
    ]  # fmt: skip
    assert same[0] == pytest.approx(same[1], abs=1e-12)


@pytest.mark.slow
def test_a_treatment_that_cannot_be_exact_is_shown_with_its_reason(plugin, cli):
    status, out, _ = cli(
        "mend", f"{plugin(NET)}:build", "-s", "noise,n=1,size=16", "-t", "canonical", "-t", "aps",
        "--shifts", "grid:max=1",
    )  # fmt: skip
    assert status == 0
    assert "mend=canonical is refused: " in out
    assert "try mend=circular+canonical" in out
    assert "mend=circular+aps" in out
    assert "No treatment lowers the worst error" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-t", "canonicl"], "no treatment is called 'canonicl'"),
        (["--save", "net.onnx"], "--save net.onnx: networks are written by torch.export"),
        (["--shifts", "grid:step=0"], "grid"),
    ],
)
def test_a_mistake_is_named_before_anything_is_measured(plugin, cli, arguments, message):
    status, _, said = cli("mend", f"{plugin(NET)}:build", "-s", "noise,n=1,size=16", *arguments)
    assert status == 2
    assert message in said
    assert "measuring" not in said


BEFORE = Trial("", mean=1e-3, worst=1e-2, psnr=30.0, cost=1.0)
GOOD = Trial("canonical", worst=0.0, psnr=29.95, cost=1.1, exact="proved")
DEAR = Trial("average:n=8", worst=0.0, psnr=30.2, cost=8.0, exact="proved")
LOSSY = Trial("aps", worst=0.0, psnr=27.0, cost=1.4, exact="sampled", retraining=True)
BLUR = Trial("blur", worst=5e-3, psnr=30.0, cost=1.3, retraining=True)
REFUSED = Trial("circular", refused="it cannot")


def taken(*trials, before=BEFORE):
    return Comparison("net", "suite", 4, before, trials)


@pytest.mark.parametrize(
    ("trials", "recommended"),
    [
        ((LOSSY, DEAR, GOOD, BLUR), "canonical"),
        ((LOSSY, DEAR, replace(GOOD, psnr=29.0)), "average:n=8"),
        ((LOSSY, BLUR, REFUSED), "aps"),
        ((BLUR, REFUSED), "blur"),
        ((REFUSED,), None),
        ((replace(BLUR, worst=1.0),), None),
    ],
)
def test_the_recommendation_follows_from_the_numbers(trials, recommended):
    found = taken(*trials)
    assert found.described["recommended"] == recommended
    assert (f"mend={recommended}" in found.sentence) == (recommended is not None)


def test_the_sentence_says_what_is_gained_and_what_is_left_to_do():
    assert taken(GOOD).sentence == (
        "Take mend=canonical: its worst NMSE goes from 0.01 to 0, a pass takes 1.10 times as long, "
        "PSNR changes by -0.050 dB, and nothing is retrained."
    )
    assert "--from WEIGHTS) to win back quality" in taken(LOSSY).sentence
    assert "no treatment that was tried is exact" in taken(BLUR).sentence
    assert "nothing to mend" in taken(GOOD, before=replace(BEFORE, exact="sampled")).sentence


def test_names_are_escaped_in_the_page_and_shown_as_they_are_in_text(tmp_path):
    found = replace(taken(GOOD, replace(REFUSED, refused="<b>")), model="<script>")
    mending_files(found, tmp_path)
    page = (tmp_path / "mend.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;" in page
    assert "<script> on suite" in mending_text(found)
