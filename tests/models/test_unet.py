import pytest
import torch

from equibench.models.unet import UNet
from equibench.models.variants import VARIANTS

X = torch.zeros(1, 1, 16, 32)


@pytest.mark.slow
def test_the_full_width_baseline_has_the_paper_s_31_04_million_parameters():
    count = sum(p.numel() for p in VARIANTS["unet-baseline"]().parameters())
    assert round(count / 1e6, 2) == 31.04


def test_resampling_costs_no_parameters():
    counts = {
        sum(p.numel() for p in build(width=0.125).parameters()) for build in VARIANTS.values()
    }
    assert len(counts) == 1


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_the_size_of_a_non_square_image(name):
    network = VARIANTS[name](width=0.05, in_channels=2, out_channels=3).eval()
    assert network(torch.zeros(1, 2, 16, 32)).shape == (1, 3, 16, 32)


def test_a_size_that_the_total_stride_does_not_divide_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"^the total stride 16 does not divide the size 40×48: "
                       r"crop to 32×48 \(padding would break equivariance\)$"):  # fmt: skip
        UNet(width=0.05)(torch.zeros(1, 1, 40, 48))


@pytest.mark.parametrize("width", [0, -1, True, "wide"])
def test_a_width_that_is_no_positive_factor_is_refused(width):
    with pytest.raises(ValueError, match="is no positive factor on the number of channels"):
        UNet(width=width)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_layer_is_equivariant_to_shifts_by_the_total_stride(name):
    torch.manual_seed(0)
    network = VARIANTS[name](width=0.05).double().eval()
    x = torch.randn(1, 1, 32, 48, dtype=torch.float64)
    with torch.inference_mode():
        moved = network(torch.roll(x, (16, 32), (-2, -1)))
        torch.testing.assert_close(torch.roll(network(x), (16, 32), (-2, -1)), moved)


def test_layers_follow_the_table_of_variants():
    assert VARIANTS["unet-baseline"](width=0.05).down[0].pool_stride == 2
    lpf = VARIANTS["unet-lpf-5"](width=0.05)
    assert (lpf.down[0].pool_stride, lpf.down[0].blur.size, lpf.down[0].blur.stride) == (1, 5, 2)
    assert (lpf.up[0].blur.size, lpf.up[0].blur.stride, lpf.up[0].aps) == (5, 1, None)
    aps = VARIANTS["unet-aps-3"](width=0.05)
    assert (aps.down[0].pool_stride, aps.down[0].blur.stride, aps.down[0].aps.stride) == (1, 1, 2)
    assert (aps.up[0].blur.size, aps.up[0].conv.kernel_size) == (3, (2, 2))
    assert VARIANTS["unet-aps"](width=0.05).down[0].blur is None
