"""Networks made to be believed: each gets the right word in every output, and none is proved."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import equibench as eb
from equibench.evidence.words import could_deviate
from equibench.reports.tables.summary_table import as_table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class WrongOnce(nn.Module):
    """Of stride 2, but for the one image in all shifts whose brightest pixel is at a place."""

    def forward(self, x):
        pooled = functional.avg_pool2d(x, 2)
        y = functional.interpolate(pooled, scale_factor=2)
        at = (x[..., 5, 9] == x.amax((-2, -1)))[..., None, None]
        return torch.where(at, y + torch.arange(x.shape[-1]), y)


def drifting():
    passes = 0

    def forward(x):
        nonlocal passes
        passes += 1
        return x * (1 + 1e-3 * passes)

    return forward


ADVERSARIES = {
    "dropout": (lambda: lambda x: functional.dropout(x, 0.5, training=True), "random"),
    "sampling": (lambda: lambda x: x + 0.1 * torch.randn_like(x), "random"),
    "drift": (drifting, "keeps state"),
    "batch statistics": (
        lambda: lambda x: functional.batch_norm(x, None, None, training=True),
        "depends on the batch",
    ),
    "error at one shift": (WrongOnce, "sampled"),
}


def noise(count=2):
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def same_blob_twice():
    """A pattern at places of two components, too far apart for the rule of ties to see."""
    image, blob = (
        torch.zeros(1, 1, 32, 32),
        torch.rand(3, 3, generator=torch.Generator().manual_seed(0)),
    )
    image[..., 2:5, 2:5], image[..., 17:20, 20:23] = blob, blob
    return image


@pytest.mark.parametrize("name", ADVERSARIES)
def test_an_adversary_gets_its_word_in_rows_summary_and_table(name):
    make, word = ADVERSARIES[name]
    result = eb.evaluate(make(), noise(), shifts="all", progress=False)
    evidence = "sampled" if word == "sampled" else ""
    assert set(result.rows["evidence"]) == {evidence}
    assert result.summary["evidence"].item() == evidence
    (note,) = as_table(result.summary).notes
    if evidence:
        assert note == (
            f"worst: over all circular shifts, sampled; up to {could_deviate(12):.1%} of the "
            "shifts could deviate (95 %)"
        )
    else:
        assert result.summary["repeatability"].item() == word
        assert note.startswith(f"{word}: ")
    assert "proved" not in note
    assert "enumerated" not in note


def test_more_spot_checks_leave_less_open():
    result = eb.evaluate(WrongOnce(), noise(1), shifts="all", spots=59, progress=False)
    line = result.summary.iloc[0]
    assert (line["spots"], line["evaluated"]) == (59, 4)
    assert line["could_deviate"] == pytest.approx(0.0495, abs=1e-4)


@pytest.mark.long
def test_ties_are_counted_and_no_image_with_one_is_proved():
    model = eb.load_model("unet-aps,width=0.03125")
    plain = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    images = torch.cat([plain, same_blob_twice()])
    result = eb.evaluate(model, images, shifts="all", progress=False)
    words = result.rows.groupby("case")["evidence"].first()
    assert words["00000"] == "proved"
    assert words["00001"] in ("", "sampled")
    line = result.summary.iloc[0]
    assert line["tied"] == 0.5
    assert line["evidence"] != "proved"
    assert result.proof.conditions
    said = " ".join(as_table(result.summary).notes)
    assert "near-ties: UNet on images (50% of the cases; their mean NMSE is" in said


@pytest.mark.long
def test_a_run_and_its_page_say_proved_with_the_claim_kept(cli, tmp_path):
    arguments = ("-m", "unet-lpf-2,width=0.03125", "-s", "noise,n=1,size=32", "--shifts", "all")
    status, out, _ = cli("run", *arguments, "--out", "run")
    assert status == 0
    assert "worst: over all circular shifts, proved" in out
    manifest = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    proof = manifest["proofs"]["unet-lpf-2,width=0.03125"]["noise"]
    assert proof["proved"] is True
    assert proof["stride"] == [16, 16]
    assert cli("report", "run", "-o", "page", "--only", "html")[0] == 0
    page = (tmp_path / "page/index.html").read_text(encoding="utf-8")
    assert ">proved<" in page


def test_the_page_about_evidence_has_the_shares_that_checks_leave_open():
    text = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    checks, shares = (
        re.search(rf"^\| {head} \|(.+)\|$", text, re.MULTILINE)[1].split("|")
        for head in ("spot checks", "could deviate")
    )
    for number, share in zip(checks, shares, strict=True):
        digits = len(share.strip().rstrip("%").partition(".")[2])
        assert f"{could_deviate(int(number)):.{digits}%}" == share.strip()


def test_the_page_about_evidence_has_every_kind_and_every_word():
    from equibench.evidence.repeatability import KINDS
    from equibench.evidence.words import EVIDENCE

    text = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    first_cells = set(re.findall(r"^\| `([a-z ]+)` \|", text, re.MULTILINE))
    assert first_cells == {*KINDS, *EVIDENCE} - {""}
