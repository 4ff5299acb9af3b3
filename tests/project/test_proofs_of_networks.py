"""The table of proved networks in the documentation is the stored one, and it can be made again."""

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import equibench as eb

ROOT = Path(__file__).parents[2]
STORED = pd.read_csv(ROOT / "results/proofs/networks.csv")
FUZZ = json.loads((ROOT / "results/proofs/fuzz.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tool():
    file = ROOT / "tools/prove_networks.py"
    spec = importlib.util.spec_from_file_location("prove_networks", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documentation_has_the_stored_table(tool):
    assert tool.proofs_table(STORED) in (ROOT / "docs/proof.md").read_text(encoding="utf-8")


def test_every_network_has_a_line_and_is_proved_or_has_a_reason(tool):
    assert set(STORED["network"]) == set(tool.NETWORKS)
    for holds, reason in (("proved", "reason"), ("circular", "circular_reason")):
        assert (STORED[holds] == STORED[reason].isna()).all()


def test_at_320_a_proof_took_less_time_than_ten_forward_passes():
    large = STORED[STORED["size"] == 320]
    assert len(large) >= 8
    assert (large["proof_seconds"] < large["ten_forwards"]).all()


def test_no_proof_of_a_random_network_was_false_and_nearly_all_that_could_be_proved_were():
    counts = FUZZ["counts"]
    share = counts["proved"] / counts["equivariant"]
    assert FUZZ["false proofs"] == []
    assert counts["networks"] == 20_000
    assert share >= 0.95
    assert (
        f"Of {counts['networks']:,} networks brute force finds {counts['equivariant']:,} "
        f"equivariant; {counts['proved']:,} of these ({100 * share:.1f} %) are proved, and no "
        "proof claims a shift that does not commute"
    ) in " ".join((ROOT / "docs/proof.md").read_text(encoding="utf-8").split())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_circular_padding_makes_a_padded_pooling_and_convolution_provable(tool):
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(3, 2, 1))
    up = nn.Upsample(scale_factor=2)
    network = nn.Sequential(*network, up)
    assert "zero padding" in str(eb.prove(network, 16))
    proof = eb.prove(tool.circular(network), 16)
    assert proof.proved
    assert proof.stride == (2, 2)
    x = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    moved = network.double()(x.roll((2, 4), (2, 3))).roll((-2, -4), (2, 3))
    assert torch.allclose(moved, network(x), atol=1e-12)
