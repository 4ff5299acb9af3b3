"""Which layer is to blame: the paper's three stories, and networks of other people."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from lazy_imports import Lazy
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

import equibench as eb
from equibench.layers.attribution import COLUMNS, attribute
from equibench.layers.map_alignment import error_over_all_moves, fourier_move, neighbours
from equibench.models.blur import Blur
from equibench.models.polyphase import APSDown, APSUp
from equibench.models.unet import UNet
from equibench.reports.diagnosis.layers import draw_layers, findings, layer_figure, layer_table

pytestmark = pytest.mark.slow

fastmri, timm = Lazy("fastmri.models"), Lazy("timm")

SHIFTS = [(1, 0), (3, 5), (7, -2)]


def noise(height=32, width=32, batch=2, channels=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, height, width, generator=rng)


def layers(model, images=None, shifts=SHIFTS, **options):
    images = noise() if images is None else images
    return attribute(model, images, shifts, device="cpu", **options)


def unet(**settings):
    torch.manual_seed(0)
    return UNet(width=0.05, **settings)


def without_positions():
    """APS-D, and transposed convolutions that are told nothing of what it chose."""
    network = unet(resampling="aps")
    network.up = unet().up
    return network


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_in_the_baseline_nothing_but_the_four_poolings_breaks_equivariance(precision):
    found = layers(unet(), precision=precision)
    breaking = found[found["breaks"]]
    assert breaking["name"].tolist() == ["down.0", "down.1", "down.2", "down.3"]
    assert (breaking["stride_y"] == 2).all()
    assert set(found["kind"]) == {"Conv2d", "BatchNorm2d", "ReLU", "_Down", "ConvTranspose2d"}
    assert found["local"].notna().all()
    # and from the first of them on, no activation follows the image
    assert found["lost"].tolist() == [False] * 6 + [True] * (len(found) - 6)
    assert findings(found) == [
        "4 of 63 layers break equivariance: down.0, down.1, down.2, down.3.",
        "The first activation that does not follow the image is that of down.0.",
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_aps_d_alone_keeps_every_layer_equivariant_and_loses_positions_on_the_way_up(precision):
    found = layers(without_positions(), precision=precision)
    assert not found["breaks"].any()
    assert found["local"].notna().all()
    up = found["name"].tolist().index("up.3.conv")
    assert found["lost"].tolist() == [False] * up + [True] * (len(found) - up)
    assert findings(found) == [
        "Every one of the 63 layers measured is equivariant by itself.",
        "The first activation that does not follow the image is that of up.3.conv, which "
        "upsamples: the position that downsampling chose is lost before it.",
    ]


@pytest.mark.parametrize(
    ("precision", "settings"),
    [("fp32", {}), ("fp64", {}), ("fp32", {"blur": 3}), ("fp32", {"stride": 3, "levels": 2})],
)
def test_aps_d_with_aps_u_loses_nothing_anywhere(precision, settings):
    size = 36 if settings.get("stride") == 3 else 32
    found = layers(unet(resampling="aps", **settings), noise(size, size), precision=precision)
    assert {"APSDown", "APSUp"} < set(found["kind"])
    assert found[["local", "cumulative"]].notna().all(axis=None)
    assert not found[["breaks", "lost"]].any(axis=None)
    assert findings(found)[1] == "Every activation follows the image."


def test_the_wider_the_blur_the_smaller_the_local_error_of_its_stride():
    worst = [layers(Blur(size, stride=2))["local"].item() for size in (1, 2, 3, 5)]
    assert worst == sorted(worst, reverse=True)
    assert worst[-1] > 0


class TimmUNet(nn.Module):
    """An encoder of timm, and the smallest decoder that uses all of its features."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = timm.create_model(encoder, features_only=True, in_chans=1)
        channels = self.encoder.feature_info.channels()
        pairs = zip(channels[:0:-1], channels[-2::-1], strict=True)
        self.decoder = nn.ModuleList(nn.Conv2d(deep + c, c, 1) for deep, c in pairs)
        self.head = nn.Conv2d(channels[0], 1, 1)

    def forward(self, x):
        *features, y = self.encoder(x)
        for layer, skip in zip(self.decoder, features[::-1], strict=True):
            y = layer(torch.cat((skip, interpolate(y, scale_factor=2)), dim=1)).relu_()
        return interpolate(self.head(y), scale_factor=2)


def test_a_unet_on_a_timm_encoder_runs_unchanged():
    torch.manual_seed(0)
    found = layers(TimmUNet("resnet18"), noise(64, 64), SHIFTS[:1])
    blamed = found.set_index("name")["breaks"]
    assert blamed["encoder.conv1"]
    assert blamed["encoder.maxpool"]
    assert not blamed["encoder.bn1"]
    assert not blamed["encoder.act1"]
    assert not blamed["head"]
    assert found["local"].notna().all()


def test_a_norm_that_has_its_activation_inside_is_one_layer():
    torch.manual_seed(0)
    found = layers(TimmUNet("mobilenetv3_small_050"), noise(64, 64), SHIFTS[:1])
    norms = found[found["kind"] == "BatchNormAct2d"]
    assert len(norms) > 10
    assert not norms["breaks"].any()
    assert not found["name"].str.contains(r"bn\d\.act").any()
    # squeeze and excitation works on maps of one pixel, which no shift moves
    squeezed = found[found["name"].str.contains(r"\.se\.")]
    assert set(squeezed["reason"]) == {"local: no shift moves its input"}


def test_the_unet_of_fastmri_runs_unchanged():
    torch.manual_seed(0)
    found = layers(fastmri.Unet(1, 1, chans=2, num_pool_layers=2), noise())
    padded = found["kind"].eq("Conv2d") & found["name"].ne("up_conv.1.1")
    assert (found["breaks"] == padded).all()
    assert found.set_index("name").loc["up_conv.1.1", "shape"] == "1×32×32"


def test_what_breaks_between_layers_shows_at_the_layer_behind_it():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)

        def forward(self, x):
            return interpolate(self.second(avg_pool2d(self.first(x), 2)), scale_factor=2)

    found = layers(Pooled())
    assert found["breaks"].tolist() == [False, False]
    assert found["lost"].tolist() == [False, True]
    assert findings(found)[1] == (
        "The first activation that does not follow the image is that of second, which does not "
        "break it: what does lies between it and the layers before."
    )


def test_each_call_of_a_layer_has_a_line_and_in_place_layers_spoil_none():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
            self.act = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.act(self.conv(self.act(self.conv(x))))

    found = layers(Twice())
    assert found["name"].tolist() == ["conv", "act", "conv", "act"]
    assert found["call"].tolist() == [1, 1, 2, 2]
    assert not found[["breaks", "lost"]].any(axis=None)


class Gate(nn.Module):
    """Several inputs, one by keyword; a dictionary of outputs with a number among them."""

    def forward(self, x, scale, *, other):
        return {"scale": scale, "map": x * other * scale}


class Odd(nn.Module):
    """Layers without maps, with maps of no whole stride, and one that works only once."""

    def __init__(self):
        super().__init__()
        self.gate, self.flat, self.dense = Gate(), nn.Flatten(), nn.Linear(32 * 32, 4)
        self.crop, self.once = nn.Conv2d(1, 1, 3), Once()

    def forward(self, x):
        y = self.gate(x, 2, other=x + 1)["map"]
        return self.crop(self.once(y)), self.dense(self.flat(y))


class Once(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 2:
            raise RuntimeError("again?")
        return x


def test_layers_that_cannot_be_measured_say_why():
    found = layers(Odd(), shifts=[(1, 1)]).set_index("name")
    assert found["reason"].to_dict() == {
        "gate": "",
        "once": "local: it raised RuntimeError when called by itself",
        "crop": "cumulative: 30×30 has no whole stride in the image's 32×32",
        "flat": "its output is no map (B, C, H, W)",
        "dense": "its output is no map (B, C, H, W)",
    }
    assert found.loc["gate", "local"] == 0
    assert found.loc["crop", "breaks"]
    assert found.loc[["flat", "dense"], ["local", "cumulative"]].isna().all(axis=None)


def test_a_call_that_not_every_image_brings_about_says_so():
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            y = self.act(x)
            return self.act(y) if x[0, 0, 0, 0] > 0 else y

    image = torch.zeros(1, 1, 4, 4)
    image[..., 0, 1] = 1
    found = layers(Moody(), image, [(0, -1)])
    assert found["call"].tolist() == [1, 2]
    assert found["reason"].tolist() == ["", "cumulative: it is not called alike for every image"]


def test_local_is_the_smallest_error_over_every_output_shift():
    class Away(nn.Module):
        def forward(self, x):
            # moves by one more pixel for some images: equivariant all the same
            return torch.stack([i.roll(int(i[0, 0, 0] > 0), -1) for i in x])

    assert layers(Away(), noise(8, 8, batch=4), batch=4)["local"].item() == 0
    reference, moved = noise(12, 10), noise(12, 10, seed=1)
    brute = [
        ((torch.roll(reference, (dy, dx), (-2, -1)) - moved) ** 2).sum((1, 2, 3))
        for dy in range(12)
        for dx in range(10)
    ]
    expected = torch.stack(brute).amin(0) / reference.square().sum((1, 2, 3))
    found = error_over_all_moves(reference, moved, [(0, 0)], 0.0)
    torch.testing.assert_close(found.float(), expected)


def test_a_layer_is_shifted_by_the_integers_on_either_side_of_what_the_image_s_shift_comes_to():
    quarter = np.float64(0.25)
    assert neighbours((quarter, -quarter)) == [(0, -1), (0, 0), (1, -1), (1, 0)]
    assert neighbours((2, -3)) == [(2, -3)]
    pools = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2))
    # a shift by four pixels reaches the second pooling as one by two
    assert layers(pools, shifts=[(4, 0)])["breaks"].tolist() == [False, False]
    assert layers(pools, shifts=[(2, 0)])["breaks"].tolist() == [False, True]


def test_a_band_limited_map_follows_fractional_moves_to_rounding():
    images = torch.fft.irfft2(torch.fft.rfft2(noise().double())[..., :8, :8], s=(32, 32))
    found = layers(nn.AvgPool2d(1, stride=2), images, [(1, 0), (5, 3)], precision="fp64")
    assert found["breaks"].item()  # no integer move will do
    assert not found["lost"].item()


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_a_fourier_move_is_a_roll_by_integers_and_adds_up_below_nyquist(size):
    maps = noise(*size).double()
    rolled = torch.roll(maps, (3, -2), (-2, -1))
    torch.testing.assert_close(fourier_move(maps, (3, -2)), rolled)
    if size[0] % 2:
        half = fourier_move(fourier_move(maps, (0.5, 1.25)), (0.5, -0.25))
        torch.testing.assert_close(half, torch.roll(maps, (1, 1), (-2, -1)))
    nyquist = torch.cos(torch.pi * torch.arange(8.0)).double().expand(1, 1, 8, 8)
    moved = fourier_move(nyquist, (0, 0.25))
    torch.testing.assert_close(moved, nyquist * math.cos(math.pi / 4))


def test_the_model_is_put_back_as_it_was():
    network = unet().train()
    layers(network)
    assert all(module.training for module in network.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


@pytest.mark.long
def test_worst_means_worst_of_all_images_whatever_the_batch():
    network, images = unet(), noise(batch=3)
    together = layers(network, images, batch=3)
    apart = [layers(network, image[None]) for image in images]
    worst = pd.concat(apart).groupby("name", sort=False)[["local", "cumulative"]].max()
    pd.testing.assert_frame_equal(
        together.set_index("name")[["local", "cumulative"]], worst, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": abs}, "builtin_function_or_method has no layers to attribute to: give a "
         "torch.nn.Module"),
        ({"images": torch.zeros(4, 4)}, "images of shape (4, 4): attribution needs (B, C, H, W), "
         "signals (B, C, L) or volumes (B, C, D, H, W)"),
        ({"shifts": [(1, 0, 0)]}, "a shift of 3 pixels is none of images with 2 axes: give one "
         "number for each axis"),
        ({"shifts": []}, "attribution over no shifts: name at least one"),
        ({"batch": 1}, "batch=1: the floor of layers needs at least 2 images a pass"),
    ],
)  # fmt: skip
def test_what_cannot_be_attributed_is_refused_with_the_remedy(arguments, message):
    with pytest.raises(eb.UsageError) as refused:
        layers(**({"model": nn.Identity()} | arguments))
    assert str(refused.value) == message


def test_a_model_that_calls_no_layer_is_named():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return x.clone()

    with pytest.raises(eb.ModelError) as refused:
        layers(Idle())
    assert str(refused.value) == (
        "Idle calls no layer that hooks can see: attribute the module itself, before scripting or "
        "compiling it"
    )


def test_a_model_that_raises_is_named():
    with pytest.raises(eb.ModelError, match=r"^pool raised RuntimeError on attribution \(input "):
        layers(nn.Conv2d(2, 1, 1), label="pool")


def story():
    """Three layers with planted numbers, one of them left out."""
    lines = [
        ("stem", "Conv2d", 1, "8×32×32", 1.0, 1.0, 0.0, math.nan, 0.0, 0.0, False, False, ""),
        ("down", "MaxPool2d", 1, "8×16×16", 2.0, 2.0, 0.25, 0.2, 0.125, 1e-15, True, True, ""),
        ("up", "Up|2", 2, "4×32×16", 0.5, 1.0, 3e-15, math.nan, 2.0, 1e-15, False, True, ""),
        ("flat", "Flatten", 1, "", *[math.nan] * 6, False, False, "its output is no map"),
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS))


TABLE = r"""
| layer       | kind      |   output |   stride |   local |   cumulative |   floor |              |
|:------------|:----------|---------:|---------:|--------:|-------------:|--------:|:-------------|
| stem        | Conv2d    |  8×32×32 |        1 |       0 |            0 |       0 |              |
| down        | MaxPool2d |  8×16×16 |        2 | 2.5e-01 |      1.2e-01 | 1.0e-15 | breaks, lost |
| up (call 2) | Up\|2     |  4×32×16 |    1/2×1 | 3.0e-15 |      2.0e+00 | 1.0e-15 | lost         |
| flat        | Flatten   |        – |        – |       – |            – |       – | \[1]         |

1 of 3 layers break equivariance: down.

The first activation that does not follow the image is that of down.

\[1] its output is no map
""".lstrip()


def test_the_table_of_layers_is_this_markdown():
    assert layer_table(story()) == TABLE


def test_layers_that_only_pad_are_told_from_those_that_sample():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.ConvTranspose2d(4, 1, 4, 2, padding=1),
    )
    found = attribute(model, torch.rand(2, 1, 64, 64), [(1, 0), (2, 3)], device="cpu")
    assert found["breaks"].all()
    assert (found["inside"] == 0).tolist() == [True, False, True, False, True]
    text = layer_table(found)
    assert text.count("| breaks at borders") == 3
    assert (
        "5 of 5 layers break equivariance: 0, 1, 2, 3, 4.\n\n"
        "3 of them do at their borders alone, as padding does: 0, 2, 4.\n" in text
    )
    padded = layer_table(attribute(model[0], torch.rand(2, 1, 32, 32), [(1, 0)], device="cpu"))
    assert "All of them do at their borders alone, as padding does." in padded


def test_a_map_without_an_inside_does_not_say_where_a_layer_breaks():
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 1, 3, padding=1)
    found = attribute(conv, torch.rand(2, 1, 3, 3), [(1, 1)], device="cpu")
    assert found["breaks"].item()
    assert math.isnan(found["inside"].item())
    assert "at borders" not in layer_table(found)


def test_the_figure_draws_local_and_cumulative_errors_in_network_order_and_zeros_at_zero():
    panel = draw_layers(story()).axes[0]
    heights = dict(zip((t.get_text() for t in panel.get_yticklabels()), panel.get_yticks(),
                       strict=True))  # fmt: skip
    (cumulative,) = [line for line in panel.lines if "cumulative" in str(line.get_label())]
    zero = heights["0"]
    expected = [zero, math.log10(0.125), math.log10(2), math.nan]
    np.testing.assert_allclose(cumulative.get_ydata(), expected)
    local, breaking = (points.get_offsets() for points in panel.collections)
    np.testing.assert_allclose(local[:3, 1], [zero, math.log10(0.25), math.log10(3e-15)])
    np.testing.assert_allclose(breaking, [[1, math.log10(0.25)]])
    assert [t.get_text() for t in panel.get_xticklabels()] == ["stem", "down", "up", "flat"]


def test_the_figure_is_written_as_png_and_pdf(tmp_path):
    files = layer_figure(story(), tmp_path / "new" / "layers")
    assert [file.name for file in files] == ["layers.png", "layers.pdf"]
    assert all(file.stat().st_size > 1000 for file in files)


def test_aps_layers_by_themselves_are_equivariant_with_their_index_as_it_is():
    class DownUp(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = APSDown((2, 4)), APSUp((2, 4))

        def forward(self, x):
            return self.up(*self.down(x))

    found = layers(DownUp())
    assert found[["stride_y", "stride_x"]].to_numpy().tolist() == [[2, 4], [0.5, 0.25]]
    assert found[["local", "cumulative"]].to_numpy().tolist() == [[0, 0], [0, 0]]
