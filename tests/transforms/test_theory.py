"""What theory says of toy networks under each transform, and what is measured."""

import pytest
import torch
from torch import nn

import equibench as eb
from equibench.models.polyphase import APSDown, APSUp

FLOOR = 1e-10  # far above float32's rounding, (30 · 2⁻²³)² = 1e-11
BROKEN = 1e-5


def noise(*size):
    return torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))


def convolution(kernel, padding_mode):
    side = kernel.shape[-1]
    layer = nn.Conv2d(1, 1, side, padding=side // 2, padding_mode=padding_mode, bias=False)
    layer.weight = nn.Parameter(kernel[None, None].clone(), requires_grad=False)
    return layer


ASYMMETRIC = torch.tensor([[0.1, 0.7, 0.2], [0.3, 1.0, -0.4], [0.0, 0.5, -0.2]])
SYMMETRIC = torch.tensor([[0.1, 0.3, 0.1], [0.3, 1.0, 0.3], [0.1, 0.3, 0.1]])


class Strided(nn.Module):
    """Every other pixel of a symmetric convolution, put back onto its place."""

    def __init__(self):
        super().__init__()
        self.before = convolution(SYMMETRIC, "circular")

    def forward(self, x):
        kept = torch.zeros_like(x)
        kept[..., ::2, ::2] = self.before(x)[..., ::2, ::2]
        return self.before(kept)


class Adaptive(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = APSDown(2), APSUp(2)

    def forward(self, x):
        return self.up(*self.down(x))


NETWORKS = {
    "identity": nn.Identity(),
    "circular": convolution(ASYMMETRIC, "circular"),
    "zeros": convolution(ASYMMETRIC, "zeros"),
    "pooled": nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)),
    "adaptive": Adaptive(),
}


def measured(network, transform, images=None, **options):
    """The rows of a network under one transform, without the floor's."""
    network = NETWORKS[network] if isinstance(network, str) else network
    images = noise(32, 48) if images is None else images
    options = {"device": "cpu", "progress": False} | options
    rows = eb.evaluate(network.eval(), images, transforms=[transform], **options).rows
    return rows[rows["draw"] > 0]


def worst(*arguments, **options):
    return measured(*arguments, **options)["eq_nmse"].max()


def one_grid_rules(size):
    """Noise of which one polyphase component is far the strongest, in whatever window."""
    images = 0.1 * noise(*size)
    images[..., ::2, ::2] *= 100
    return images


CIRCULAR = "circular:grid:max=3,step=1"
CROP = "crop:grid:max=3,step=1,window=16"


@pytest.mark.parametrize("transform", [CIRCULAR, CROP, "tile:size=16", "d4", "intensity:b=3"])
def test_the_identity_commutes_with_whatever_moves_pixels_and_values(transform):
    assert worst("identity", transform) < FLOOR


def test_the_identity_under_fractions_has_the_error_of_the_shift_there_and_back():
    rows = measured("identity", "fourier")
    assert rows["eq_nmse"].to_numpy() == pytest.approx(rows["inverse_nmse"].to_numpy(), rel=1e-6)
    assert rows["inverse_nmse"].max() > BROKEN  # noise has energy at the Nyquist frequency


def test_at_odd_sizes_there_is_no_nyquist_frequency_and_fractions_are_undone():
    rows = measured("identity", "fourier", noise(31, 47))
    assert rows["inverse_nmse"].max() < FLOOR
    assert rows["eq_nmse"].max() < FLOOR


def test_the_high_band_of_an_image_that_is_smooth_is_empty_and_of_noise_is_three_quarters():
    x = torch.arange(32) * 2 * torch.pi / 32
    smooth = (torch.cos(3 * x)[:, None] * torch.sin(2 * x))[None, None].float()
    assert measured("identity", "fourier", smooth)["high_band"].max() < FLOOR
    noisy = measured("identity", "fourier", noise(64, 64))["high_band"]
    assert noisy.mean() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("transform", [CIRCULAR, f"{CROP},margin=1"])
def test_a_circular_convolution_commutes_with_shifts_and_with_crops_beyond_its_kernel(transform):
    assert worst("circular", transform) < FLOOR


def test_a_circular_convolution_reads_across_the_borders_of_crops_and_tiles():
    assert worst("circular", CROP) > BROKEN
    # even where the tiles overlap: at the image's border they wrap around elsewhere
    assert worst("circular", "tile:size=16,overlap=8") > BROKEN


def test_a_circular_convolution_commutes_with_fractions_of_what_is_band_limited():
    assert worst("circular", "fourier", noise(31, 47)) < FLOOR


@pytest.mark.slow
def test_a_zero_padded_convolution_breaks_at_the_border_and_nowhere_else():
    assert worst("zeros", CIRCULAR) > BROKEN
    assert worst("zeros", CROP) > BROKEN
    assert worst("zeros", f"{CROP},margin=1") < FLOOR
    assert worst("zeros", "fourier", noise(31, 47)) > BROKEN


def test_tiles_of_a_zero_padded_convolution_fit_if_they_overlap_by_twice_its_reach():
    assert worst("zeros", "tile:size=16") > BROKEN
    assert worst("zeros", "tile:size=16,overlap=2") < FLOOR


def test_pooling_commutes_with_shifts_by_multiples_of_its_stride_alone():
    for transform in (CIRCULAR, CROP):
        rows = measured("pooled", transform)
        even = (rows["dy"] % 2 == 0) & (rows["dx"] % 2 == 0)
        assert rows.loc[even, "eq_nmse"].max() == 0
        assert rows.loc[~even, "eq_nmse"].min() > BROKEN


def test_tiles_of_a_pooling_network_fit_on_its_grid_alone():
    assert worst("pooled", "tile:size=16") == 0
    assert worst("pooled", "tile:size=16,offset=3") > BROKEN


def test_pooling_does_not_commute_with_fractions():
    assert measured("pooled", "fourier", noise(32, 32))["eq_nmse"].min() > BROKEN


def test_an_aps_network_commutes_with_every_circular_shift():
    assert worst("adaptive", CIRCULAR) < FLOOR


def test_an_aps_network_commutes_with_crops_and_tiles_where_they_do_not_change_its_choice():
    images = one_grid_rules((32, 48))
    assert worst("adaptive", CROP, images) < FLOOR
    assert worst("adaptive", "tile:size=16", images) < FLOOR
    assert worst("adaptive", "tile:size=16,offset=3", images) < FLOOR
    # noise has no component that is the strongest in every tile
    assert worst("adaptive", "tile:size=8", noise(32, 48)) > BROKEN


def test_an_aps_network_does_not_commute_with_fractions_which_mix_its_components():
    assert measured("adaptive", "fourier", noise(31, 31)[..., :30, :30])["eq_nmse"].min() > BROKEN


@pytest.mark.parametrize("network", ["pooled", "adaptive"])
def test_pooling_and_aps_commute_with_turns_of_images_whose_size_they_divide(network):
    assert worst(network, "d4") < FLOOR


@pytest.mark.parametrize("padding", ["circular", "zeros"])
def test_a_symmetric_convolution_commutes_with_all_turns_and_flips(padding):
    assert worst(convolution(SYMMETRIC, padding), "d4") < FLOOR
    assert worst(convolution(ASYMMETRIC, padding), "d4") > BROKEN


def test_a_filter_with_four_rotations_commutes_with_those_and_not_with_flips():
    kernel = torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    kernel = sum(kernel.rot90(k) for k in range(4)) / 4
    rows = measured(convolution(kernel, "circular"), "d4")
    turns = rows["element"].isin(["rot90", "rot180", "rot270"])
    assert turns.sum() == 6
    assert rows.loc[turns, "eq_nmse"].max() < FLOOR
    assert rows.loc[~turns, "eq_nmse"].min() > BROKEN


def test_a_strided_network_turns_only_up_to_a_shift_of_its_grid():
    rows = measured(Strided(), "d4:grid=2")
    assert sorted(rows["element"].unique()) == [
        "anti-transpose", "flip left-right", "flip up-down", "rot180", "rot270", "rot90",
        "transpose",
    ]  # fmt: skip
    mirrored = rows["element"] != "transpose"  # which leaves the grid where it is
    assert rows.loc[mirrored, "eq_nmse"].min() > BROKEN
    assert rows.loc[~mirrored, "eq_nmse"].max() < FLOOR
    assert rows["grid_nmse"].max() < FLOOR
    strict = measured(Strided(), "d4:grid=1")
    assert (strict["grid_nmse"] == strict["eq_nmse"]).all()


def test_a_linear_network_scales_and_one_whose_weights_sum_to_one_is_offset_as_well():
    assert worst("zeros", "intensity:a=0.5/-2") < FLOOR
    assert worst("circular", "intensity:a=2,b=1") > BROKEN
    one = convolution(ASYMMETRIC / ASYMMETRIC.sum(), "circular")
    assert worst(one, "intensity:a=2,b=1") < FLOOR
    padded = convolution(ASYMMETRIC / ASYMMETRIC.sum(), "zeros")
    assert worst(padded, "intensity:a=2,b=1") > BROKEN


def test_the_largest_of_four_keeps_its_place_under_positive_factors_alone():
    assert worst("pooled", "intensity:a=0.5/3,b=1") < FLOOR
    assert worst("pooled", "intensity:a=-1") > BROKEN


def test_the_strongest_component_stays_the_strongest_whatever_the_factor():
    assert worst("adaptive", "intensity:a=0.5/-3") < FLOOR


def test_quality_is_measured_against_the_same_window_of_the_ground_truth():
    images = noise(32, 48)
    suite = eb.ImageCases(images, targets=images + 0.1)
    found = eb.evaluate(
        nn.Identity(), suite, transforms=[CROP, "d4", "tile:size=16"], device="cpu", progress=False
    ).rows
    expected = 0.01 / (images[0].double() + 0.1).square().mean().item()
    whole = found[(found["transform"] != "crop") & (found["case"] == "00000")]
    assert whole["nmse"].to_numpy() == pytest.approx(expected, rel=1e-5)
    window = images[0, 0, 8:24, 16:32].double() + 0.1
    cropped = found[(found["transform"] == "crop") & (found["case"] == "00000")]
    assert cropped["nmse"].to_numpy() == pytest.approx(
        0.01 / window.square().mean().item(), rel=1e-5
    )
    assert found["delta_psnr"].max() < 6  # of regions of the window, each with its own error
