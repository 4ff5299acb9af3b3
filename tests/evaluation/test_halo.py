"""Tiles fit with a halo of the receptive field, on the grid of the stride, or not at all."""

import pytest
import torch
from torch import nn

import equibench as eb
from equibench.evaluation.halo import tile_step
from equibench.evaluation.model_on_suite import Evaluation
from equibench.foundation.validation import checked
from equibench.measurement.run_config import Conditions
from equibench.measurement.settings import Settings
from equibench.reports.diagnosis.halo import halo_figure, halo_text


def cut(model, size=(128, 128)):
    torch.manual_seed(0)
    suite = eb.ImageCases(torch.rand(1, 1, *size))
    suite.label = suite.name
    settings = Settings.of(checked(Conditions, {"device": "cpu", "batch": 2}, "test"))
    found = Evaluation(model.eval(), "net", suite, settings).tiling(suite.cases())
    return found, halo_text(found, "net", "images", model)


def convolutions(*kernels, **options):
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Conv2d(1, 1, k, padding="same", **options) for k in kernels))


class PooledNetwork(nn.Module):
    """Two poolings, which it must be able to undo."""

    def __init__(self):
        super().__init__()
        self.first, self.second = convolutions(3), convolutions(3)

    def forward(self, x):
        if x.shape[-1] % 4 or x.shape[-2] % 4:
            raise ValueError("sizes are multiples of 4")
        low = self.second(nn.functional.max_pool2d(self.first(x), 4))
        return nn.functional.interpolate(low, scale_factor=4)


def test_the_halo_of_convolutions_is_their_receptive_field_along_each_axis():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 1, (3, 7), padding="same"), nn.Conv2d(1, 1, (3, 1), padding="same")
    )
    found, text = cut(model)
    assert {name: axis.halo for name, axis in found.axes.items()} == {"y": 2, "x": 3}
    assert {axis.grid for axis in found.axes.values()} == {1}
    assert found.fits
    assert "halo         y 2, x 3 pixels" in text
    assert "bioimage.io  y: {min: 1, step: 1, halo: 2}; x: {min: 1, step: 1, halo: 3}" in text


def test_tiles_with_that_halo_are_the_whole_image_and_with_less_are_not():
    model, x = convolutions(3, 5), torch.rand(1, 1, 64, 64)
    found, _ = cut(model)
    halo = found.axes["x"].halo
    assert halo == 3
    whole, tile = model(x), model(x[..., 10:50])
    assert torch.allclose(tile[..., halo:-halo], whole[..., 10 + halo : 50 - halo], atol=1e-6)
    assert not torch.allclose(tile[..., halo - 1], whole[..., 10 + halo - 1], atol=1e-4)
    assert found.axes["x"].seam[halo - 1] > 1e-6 > found.axes["x"].seam[halo]


def test_a_network_with_pooling_fits_on_its_grid_and_takes_its_sizes():
    found, text = cut(PooledNetwork())
    assert {axis.grid for axis in found.axes.values()} == {4}
    assert (found.least, found.step, tile_step(found)) == (4, 4, 4)
    assert all(4 <= axis.halo <= 8 for axis in found.axes.values())
    assert "grid         y 4, x 4 pixels: offsets of tiles are multiples of it" in text


class Counted(nn.Module):
    """A network, and how many pixels passed through it."""

    def __init__(self, network):
        super().__init__()
        self.network, self.pixels = network, 0

    def forward(self, x):
        self.pixels += x[:, 0].numel()
        return self.network(x)


def test_strips_are_no_longer_than_what_an_output_sees_asks_for():
    counted, size = Counted(convolutions(3, 3)), (256, 256)
    found, _ = cut(counted, size)
    assert {axis.halo for axis in found.axes.values()} == {2}
    assert max(axis.tile for axis in found.axes.values()) <= 64
    # thirteen offsets along both axes, of whole images
    assert counted.pixels < 26 * 256 * 256


def test_a_guess_that_is_too_short_is_put_right_by_longer_strips():
    class Rarely(nn.Module):
        """Sees a bright pixel from afar, and no other."""

        def forward(self, x):
            far = (x > 0.999).to(x)
            kernel = x.new_ones(1, 1, 1, 81)
            return x + nn.functional.conv2d(nn.functional.pad(far, (40, 40)), kernel)

    found, _ = cut(Rarely(), (64, 200))
    assert found.axes["x"].halo == 40
    assert found.axes["x"].grid == 1


def test_pooling_that_takes_every_size_still_needs_tiles_on_its_grid():
    class AnySize(nn.Module):
        def forward(self, x):
            low = nn.functional.max_pool2d(x, 2, ceil_mode=True)
            return nn.functional.interpolate(low, scale_factor=2)[..., : x.shape[-2], : x.shape[-1]]

    found, text = cut(AnySize())
    assert (found.step, tile_step(found)) == (1, 2)
    assert "tiles on the grid by 2" in text


def test_no_halo_helps_what_looks_at_the_whole_image_and_the_layer_is_named():
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.conv = nn.InstanceNorm2d(1), nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            return self.norm(self.conv(x))

    found, text = cut(Normalised())
    assert not found.fits
    assert "none helps: error" in text
    assert "these look at the whole image: norm (InstanceNorm2d)" in text
    assert "bioimage.io" not in text


def test_circular_padding_fits_inside_and_never_at_the_image_s_own_border():
    found, text = cut(convolutions(3, padding_mode="circular"))
    assert {axis.halo for axis in found.axes.values()} == {1}
    assert all(axis.border > 0 for axis in found.axes.values())
    assert "at the image's own border, whatever the halo" in text
    assert all(axis.border == 0 for axis in cut(convolutions(3))[0].axes.values())


def test_images_that_are_too_small_are_refused_with_the_remedy():
    with pytest.raises(eb.UsageError, match="name a suite with larger ones, -s noise,size=256"):
        cut(convolutions(3), (40, 40))


@pytest.mark.slow
def test_the_command_says_it_and_writes_the_seam_as_a_figure(cli, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\ndef build():\n    return torch.nn.Conv2d(1, 1, 5, padding=2)\n"
    )
    options = ("-s", "noise,n=1,size=96", "--device", "cpu", "-o", tmp_path / "out")
    status, out, _ = cli("halo", f"{tmp_path / 'net.py'}:build", *options)
    assert status == 0
    assert "halo         y 2, x 2 pixels" in out
    assert (tmp_path / "out/halo.png").exists()


@pytest.mark.slow
def test_the_figure_has_a_line_for_each_axis(tmp_path):
    found, _ = cut(convolutions(3))
    assert [file.name for file in halo_figure(found, tmp_path)] == ["halo.png", "halo.pdf"]
