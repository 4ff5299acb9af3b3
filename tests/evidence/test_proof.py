"""Proofs hold against brute force, and say what stands in their way."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import equibench as eb

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
FUZZ = runpy.run_path(str(ROOT / "tools/fuzz_proofs.py"))
sys.path.remove(str(ROOT / "tools"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.mark.parametrize("name", ["unet-baseline", "unet-lpf-2", "unet-lpf-3", "unet-lpf-5",
                                  "unet-aps", "unet-aps-2", "unet-aps-3", "unet-aps-5"])  # fmt: skip  # noqa: E501
def test_the_variants_are_proved_at_their_total_stride(name):
    proof = eb.prove(eb.load_model(f"{name},width=0.03125"), 64)
    assert proof.proved
    assert proof.stride == (16, 16)
    adaptive = "aps" in name
    assert proof.any_shift == ((1, 1) if adaptive else None)
    assert ("no two polyphase components tie" in proof.any_shift_conditions) == adaptive


def test_zero_padding_is_named_with_its_module_and_line():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.Conv2d(2, 1, 3, padding=1),
    )
    proof = eb.prove(network, 16)
    assert not proof.proved
    assert proof.stride == (16, 16)
    obstacle = proof.obstacles["y"]
    assert (obstacle.operator, obstacle.module) == ("conv2d", "2")
    assert "zero padding" in obstacle.reason


def test_an_axis_that_holds_is_proved_beside_one_that_breaks():
    network = nn.Conv2d(1, 1, (1, 3), padding=(0, 1))
    proof = eb.prove(network, (12, 16))
    assert list(proof.obstacles) == ["x"]
    assert proof.stride == (1, 16)


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda x: x + torch.rand_like(x), "random"),
        (lambda x: x - x.mean(0, keepdim=True), "images of a batch"),
        (lambda x: x if float(x.sum()) > 0 else -x, "captured"),
        (lambda x: nn.functional.batch_norm(x, None, None, training=True), "batch"),
        (lambda x: x + torch.arange(12.0), "varies in space"),
        (lambda x: x - x[..., :1], "one sample"),
        (lambda x: nn.functional.interpolate(nn.functional.interpolate(x, 1), 12), "not move"),
    ],
)
def test_what_no_proof_may_be_given_of_is_refused_with_its_reason(forward, reason):
    proof = eb.prove(forward, 12)
    assert not proof.proved
    assert reason in str(proof)


@pytest.mark.parametrize("options", [{"size": 12}, {"scale_factor": 4}])
def test_samples_that_are_spread_again_commute_with_their_stride(options):
    proof = eb.prove(lambda x: nn.functional.interpolate(x[..., ::4, ::4], **options), 12)
    assert proof.proved
    assert proof.stride == (4, 4)


def test_networks_that_keep_state_are_refused_and_left_as_they_were():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    class Summing(Counting):
        def forward(self, x):
            self.seen += 1
            return x * self.seen

    for network in (Counting(), Summing()):
        network.train()
        proof = eb.prove(network, 8)
        assert not proof.proved
        assert "state" in str(proof)
        assert network.training
        assert (network.calls, float(network.seen)) == (0, 0.0)


@pytest.mark.parametrize("adapters", ["in.range=0..1", "in.range=0..1,in.mean=0.5", "in.std=2"])
def test_adapters_that_restore_outputs_are_read_with_their_network(adapters):
    model = eb.load_model(f"unet-lpf-3,width=0.03125,{adapters}")
    proof = eb.prove(model, 32)
    assert proof.proved, proof.obstacles
    assert proof.stride == (16, 16)


@pytest.mark.long
def test_random_networks_never_contradict_brute_force():
    verdicts = [FUZZ["judged"](seed) for seed in range(40)]
    assert [v.seed for v in verdicts if v.false] == []
    equivariant = [v for v in verdicts if v.equivariant]
    assert len(equivariant) > 15
    assert sum(v.proved for v in equivariant) >= 0.9 * len(equivariant)


@pytest.mark.parametrize("seed", [105468, 102383, 104409])
def test_networks_that_once_had_a_false_proof_have_none(seed):
    assert FUZZ["judged"](seed).false == ()


def test_a_sign_that_only_the_order_of_a_sum_decides_is_held_against_no_proof():
    verdict = FUZZ["judged"](9037)  # the mean of what was normalised
    assert verdict.proof.conditions
    assert (verdict.other, verdict.false) == ("rounding decides", ())


def test_the_command_proves_and_fails_by_its_exit_status(cli):
    status, out, _ = cli("prove", "unet-lpf-2,width=0.03125", "--size", "32", "--json")
    assert status == 0
    assert json.loads(out)["stride"] == [16, 16]
    status, out, _ = cli("prove", "unet-lpf-2,width=0.03125", "--size", "40x32")
    assert status == 1
    assert "cannot be captured" in out
    status, _, error = cli("prove", "unet-lpf-2", "--size", "big")
    assert status == 2
    assert "--size 256x320" in error
