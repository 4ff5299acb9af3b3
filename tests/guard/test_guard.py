"""A limit on equivariance, as somebody's test would state it."""

import numpy as np
import pytest
import torch

import equibench as eb
from equibench.guard.assertion import default_limit
from equibench.models.unet import UNet

pytestmark = pytest.mark.slow


def network(resampling, blur=0, **kwargs):
    torch.manual_seed(0)
    return UNet(resampling, blur, width=0.1, levels=2, **kwargs)


def ramp(x):
    """A gain that depends on the position: not equivariant."""
    return x * torch.linspace(0.5, 1, x.shape[-1])


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize("blur", [0, 3])
def test_an_adaptive_polyphase_network_passes_without_any_limit(images, precision, blur):
    result = eb.assert_shift_equivariant(network("aps", blur), images, precision=precision)
    assert len(result.rows) == 3 * 11


def test_the_default_limit_is_thirty_roundings_of_the_precision():
    assert default_limit("fp32") == pytest.approx((30 * 2**-23) ** 2)
    assert default_limit("fp64") < 1e-28 < default_limit("fp32") < default_limit("bf16") < 1


def test_a_baseline_fails_and_the_message_says_where(images):
    with pytest.raises(AssertionError) as caught:
        eb.assert_shift_equivariant(ramp, images, shifts="grid:max=4,step=4")
    assert str(caught.value) == (
        "worst equivariance NMSE is 0.0476, above the limit 1.28e-11, on images at case 00000, "
        "shift (-4, -4); 6 of 9 shifts are beyond the limit; floor (NMSE of rounding alone) 0"
    )


def test_each_broken_limit_has_a_line(images):
    with pytest.raises(AssertionError) as caught:
        eb.assert_shift_equivariant(
            ramp,
            images,
            targets=images,
            nmse={"median": 1e-9, "q95": 1.0, "mean": 1e-9},
            ssim=0.9999,
            delta_psnr=100.0,
        )
    starts = [line.split(" is ")[0] for line in str(caught.value).splitlines()]
    assert starts == [
        "median equivariance NMSE",
        "mean equivariance NMSE",
        "worst equivariance SSIM",
    ]


def test_limits_that_hold_are_silent(images):
    limits = {"nmse": {"worst": 0.5, "q90": 0.5}, "ssim": {"worst": -1.0}, "delta_psnr": 50.0}
    eb.assert_shift_equivariant(ramp, images, targets=images, **limits)


def test_nan_breaks_every_limit(images):
    with pytest.raises(AssertionError, match="worst equivariance NMSE is nan"):
        eb.assert_shift_equivariant(lambda x: x * torch.nan, images, nmse=float("inf"))


def test_what_failed_can_be_saved(images, tmp_path):
    with pytest.raises(AssertionError) as caught:
        eb.assert_shift_equivariant(ramp, images, save=tmp_path / "failed")
    assert str(caught.value).splitlines()[-1] == f"saved: {tmp_path}/failed/worst.npz"
    with np.load(tmp_path / "failed/worst.npz") as file:
        kept = dict(file)
    assert set(kept) == {"shift", "input", "output", "aligned", "difference"}
    moved = np.roll(kept["input"], kept["shift"], (-2, -1))
    output = ramp(torch.from_numpy(moved)).numpy()
    aligned = np.roll(output, -kept["shift"], (-2, -1))
    np.testing.assert_allclose(kept["aligned"], aligned)
    np.testing.assert_allclose(kept["difference"], aligned - kept["output"], atol=1e-6)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"delta_psnr": 1.0}, "delta_psnr was not measured: ΔPSNR needs targets"),
        (
            {"nmse": {"typical": 1.0}},
            "no statistic is called 'typical': take worst, mean, median or q1 to q99",
        ),
    ],
)
def test_a_limit_that_cannot_be_is_a_usage_error(images, limits, message):
    with pytest.raises(eb.UsageError) as caught:
        eb.assert_shift_equivariant(ramp, images, **limits)
    assert str(caught.value) == message


FAULTS = {
    "zero padding": lambda: network("aps").apply(
        lambda m: (
            setattr(m, "padding_mode", "zeros")
            if getattr(m, "kernel_size", None) == (3, 3)
            else None
        )
    ),
    "strided pooling": lambda: network("stride"),
    "blur alone": lambda: network("stride", 3),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_that_costs_equivariance_is_caught(images, fault):
    with pytest.raises(AssertionError, match="above the limit"):
        eb.assert_shift_equivariant(FAULTS[fault](), images)


@pytest.mark.parametrize("seed", range(5))
def test_an_equivariant_network_passes_whatever_the_seed_and_the_batch(images, seed):
    eb.assert_shift_equivariant(network("aps", 3), images, seed=seed, batch=1 + 3 * seed)
