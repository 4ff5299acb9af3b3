"""What the guard is for: changes that cost equivariance fail it, reruns never do.

The sample project is a small U-Net of the paper with 3×3 convolutions, its baseline written once.
"""

import re

import pytest
import torch
from torch import nn

from equibench.guard.pytest_fixture import SHIFTS, Equivariance
from equibench.models.polyphase import APSUp
from equibench.models.unet import UNet
from equibench.registry.specs import slug

pytestmark = pytest.mark.slow

RESAMPLING = {
    "baseline": ("stride", 0),
    "lpf-3": ("stride", 3),
    "aps": ("aps", 0),
    "aps-3": ("aps", 3),
}


def network(name):
    torch.manual_seed(0)
    return UNet(*RESAMPLING[name], width=0.05, levels=2)


@pytest.fixture(scope="module")
def pictures():
    """Two smooth images (2, 1, 32, 32)."""
    noise = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    return nn.functional.avg_pool2d(noise, 5, 1, 2) * 5


@pytest.fixture(scope="module")
def guard(tmp_path_factory, pictures):
    """The fixture ``equivariance`` of a test of each network: guard(name, model, **options)."""
    folder = tmp_path_factory.mktemp("baselines")

    def check(name, model, shifts=SHIFTS, **options):
        file = folder / slug(f"{name}-{shifts}.json")

        def fixture(update):
            return Equivariance(
                test=name, baseline=file, update=update, report=None, settings={"shifts": shifts},
                record=lambda entry: None, show=lambda text: None, ask=lambda text: False,
            )  # fmt: skip

        if not file.exists():
            fixture(True)(network(name), pictures)
        fixture(False)(model, pictures, **options)

    return check


def zero_padded(model):
    for module in model.modules():
        if getattr(module, "kernel_size", None) == (3, 3):
            module.padding_mode = "zeros"
    return model


class Nearest(nn.Module):
    """Puts every sample back, but not on the grid that APS-D chose."""

    def forward(self, x, index):
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def nearest(model):
    for up in model.up:
        assert isinstance(up.aps, APSUp)
        up.aps = Nearest()
    return model


def tf32(x):
    """Round float32 to the ten mantissa bits of TF32, to nearest, ties to even."""
    bits = x.contiguous().view(torch.int32)
    bits = bits + 0x0FFF + ((bits >> 13) & 1)
    return (bits & ~0x1FFF).view(torch.float32)


def in_tf32(model):
    """What a tensor core does to a convolution: operands rounded, products summed in float32."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_pre_hook(lambda _, given: (tf32(given[0]), *given[1:]))
            with torch.no_grad():
                module.weight.copy_(tf32(module.weight))
    return model


def failures(caught):
    """(mark, figure) of each line of a failure."""
    lines = str(caught.value).splitlines()[1:-1]
    return {re.fullmatch(r"(.+?): (.+?), (?:was|is) .*", line).groups() for line in lines}


FAULTS = {
    "a zero pad": ("aps", lambda: zero_padded(network("aps"))),
    "no blur": ("lpf-3", lambda: network("baseline")),
    "nearest upsampling": ("aps-3", lambda: nearest(network("aps-3"))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_that_costs_equivariance_is_a_regression(guard, fault):
    name, faulty = FAULTS[fault]
    guard(name, network(name))
    with pytest.raises(AssertionError) as caught:
        guard(name, faulty())
    for statistic in ("mean", "median", "worst"):
        assert ("regression", f"UNet · images · all: {statistic} eq_nmse") in failures(caught)


def test_a_zero_pad_in_a_network_that_is_far_from_equivariant_is_told_by_its_outputs(guard):
    """Strided pooling costs so much equivariance already that a border adds nothing to it."""
    with pytest.raises(AssertionError) as caught:
        guard("baseline", zero_padded(network("baseline")))
    assert ("changed", "UNet · images: outputs") in failures(caught)


@pytest.mark.parametrize("name", RESAMPLING)
def test_tf32_fails_although_no_equivariance_error_shows_it(guard, name):
    """A CPU has no TF32: operands of every convolution are rounded as a tensor core rounds them.

    That rounding is done sample by sample, so it commutes with shifts, and the sums of a
    convolution have one order at all positions here: the equivariance error stays what it was.
    The outputs do not, and their sketch in the baseline tells.
    """
    guard(name, network(name))
    with pytest.raises(AssertionError) as caught:
        guard(name, in_tf32(network(name)))
    assert failures(caught) == {("changed", "UNet · images: outputs")}


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.long
@pytest.mark.parametrize("name", ["baseline", "aps-3"])
@pytest.mark.parametrize("shifts", [SHIFTS, "random:n=10,max=16"])
def test_ten_reruns_with_other_seeds_batches_and_threads_pass(guard, threads, name, shifts):
    for rerun in range(1, 11):
        threads(1 + rerun % 2)
        guard(name, network(name), seed=rerun, batch=1 + rerun % 5, shifts=shifts)
