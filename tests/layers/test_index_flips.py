"""Flips of adaptive layers: found where they are planted, and nowhere else."""

import math

import pandas as pd
import pytest
import torch
from torch import nn

import equibench as eb
from equibench.layers.adaptive_choices import Choice, adaptive_layers, flips
from equibench.layers.index_flips import Flips, trace_flips
from equibench.models.polyphase import APSDown, APSUp
from equibench.models.unet import UNet
from equibench.reports.diagnosis.layers import flip_table


def noise(height=16, width=16, batch=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 1, height, width, generator=rng)


def tied(seed=0):
    """An image (1, 1, 16, 16) of two polyphase components, one the mirror image of the other."""
    image, component = torch.zeros(1, 1, 16, 16), noise(8, 8, seed=seed)
    image[..., ::2, ::2] = component
    image[..., 1::2, 1::2] = component.flip(-2)
    return image


class Uneven(nn.Module):
    """APS-D and APS-U behind a gain that grows by one in ten million per line of the image."""

    def __init__(self):
        super().__init__()
        self.down, self.up = APSDown(2), APSUp(2)

    def forward(self, x):
        lines = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device)
        return self.up(*self.down(x * (1 + 1e-7 * lines[:, None])))


def kept(x):
    """Which pixels of one image survive ``Uneven``, as a mask."""
    return Uneven()(x.double()) != 0


def test_a_planted_flip_is_found_and_named_at_exactly_the_shifts_at_which_it_happens():
    images = torch.cat((tied(), noise(), tied(seed=2)))
    found = trace_flips(Uneven(), images, "grid:max=3", device="cpu", precision="fp64")
    expected = []
    for row in found.samples.itertuples():
        image = images[int(row.case)][None]
        moved = kept(image.roll((row.dy, row.dx), (-2, -1)))
        same = torch.equal(kept(image).roll((row.dy, row.dx), (-2, -1)), moved)
        expected.append("" if same else "down")
    assert found.samples["flipped"].tolist() == expected
    flipped = found.samples[found.samples["flipped"] == "down"]
    assert set(flipped["case"]) == {"00000", "00002"}
    assert 0 < len(flipped) < 70
    assert found.flip_rate == len(flipped) / len(found.samples) == found.layers["flip_rate"].item()


def test_the_output_of_a_flipped_sample_is_another_component_and_makes_all_of_the_error():
    found = trace_flips(Uneven(), tied(), "grid:max=3", device="cpu", precision="fp64")
    flipped = found.samples["flipped"] != ""
    # nothing of what was kept is kept: the error is the energy of both components
    assert found.samples["eq_nmse"][flipped].round(5).eq(2).all()
    assert found.samples["eq_nmse"][~flipped].max() < 1e-10
    assert found.share == pytest.approx(1, abs=1e-9)


def test_gaps_and_near_ties_are_those_of_the_polyphase_norms():
    images = torch.cat((tied(), noise()))
    layer = trace_flips(Uneven(), images, "grid:max=1", device="cpu", precision="fp64").layers
    parts = [noise()[..., dy::2, dx::2].double().norm() for dy in (0, 1) for dx in (0, 1)]
    second, first = sorted(map(float, parts))[-2:]
    assert layer["name"].tolist() == ["down"]
    assert 0 < layer["smallest_gap"].item() < 1e-6
    assert layer["median_gap"].item() == pytest.approx((1 - second / first) / 2, rel=1e-3)
    assert layer["near_ties"].item() == 0.5


@pytest.mark.parametrize(("stride", "size"), [(2, (32, 48)), (3, (54, 54))])
def test_a_network_that_commutes_with_every_shift_flips_nowhere_though_its_choices_move(
    stride, size
):
    torch.manual_seed(0)
    levels = 4 if stride == 2 else 3
    network = UNet("aps", width=0.05, stride=stride, levels=levels)
    found = trace_flips(network, noise(*size, batch=2), "random:n=8,max=16", device="cpu")
    assert found.samples["eq_nmse"].max() < 1e-11
    assert found.samples["flipped"].eq("").all()
    assert found.layers["name"].tolist() == [f"down.{i}.aps" for i in range(levels)]
    assert found.layers["judged"].tolist() == [16] * levels
    assert found.layers["flip_rate"].tolist() == [0] * levels


def test_ties_that_no_rule_can_break_are_what_is_wrong_with_an_aps_network():
    torch.manual_seed(0)
    network = UNet("aps", width=0.05, stride=3, levels=3)
    # before the last layer the map is three lines high: pooling makes them equal
    found = trace_flips(network, noise(27, 54, batch=2), "random:n=8,max=16", device="cpu")
    flipped = found.samples["flipped"] == "down.2.aps"
    assert flipped.any()
    assert (found.samples["flipped"][~flipped] == "").all()
    assert ((found.samples["eq_nmse"] > 1e-11) == flipped).all()
    assert found.layers["near_ties"].tolist() == [0, 0, 1]
    assert found.share == pytest.approx(1, abs=1e-6)


def choice(layer, size, offset, stride=2):
    return Choice(layer, (size, size), (stride, stride), offset, 0.1)


def test_what_lies_behind_a_flip_is_not_judged_and_what_lies_beside_it_is():
    before = [choice("a", 16, (0, 1)), choice("b", 8, (0, 0)), choice("c", 4, (1, 1))]
    # (0, 1) moved by (3, 2) is (1, 1) and one sample further on: b has its input moved by (1, 1)
    follows = [choice("a", 16, (1, 1)), choice("b", 8, (1, 1)), choice("c", 4, (1, 1))]
    assert flips(before, follows, (3, 2), (16, 16)) == {"a": False, "b": False, "c": False}
    late = [follows[0], choice("b", 8, (0, 1)), follows[2]]
    assert flips(before, late, (3, 2), (16, 16)) == {"a": False, "b": True}
    early = [choice("a", 16, (0, 1)), *follows[1:]]
    assert flips(before, early, (3, 2), (16, 16)) == {"a": True}
    beside = [choice("a", 16, (0, 1)), choice("d", 16, (1, 1))]
    assert flips([before[0], choice("d", 16, (0, 1))], beside, (3, 2), (16, 16)) == {
        "a": True,
        "d": False,
    }


def test_a_layer_behind_other_strides_is_judged_at_the_shifts_that_they_divide():
    one, other = [choice("a", 8, (0, 0))], [choice("a", 8, (1, 0))]
    assert flips(one, other, (2, 4), (16, 16)) == {"a": False}
    assert flips(one, other, (4, 4), (16, 16)) == {"a": True}
    assert flips(one, other, (1, 4), (16, 16)) == {}


def planted(errors, flipped):
    samples = {"case": "x", "image": 0, "dy": 1, "dx": 0, "flipped": flipped, "eq_nmse": errors}
    line = {"smallest_gap": 2e-8, "median_gap": 0.01, "near_ties": 0.25, "judged": 4}
    layers = pd.DataFrame([{"name": "down.0.aps", **line, "flip_rate": 0.5}])
    return Flips(layers, pd.DataFrame(samples))


def test_the_share_of_flipped_samples_is_their_part_of_the_mean():
    found = planted([0.5, 0.25, 0.0, 0.25], ["a", "", "", "a b"])
    assert found.share == 0.75
    assert found.flip_rate == 0.5
    assert planted([0.5, 0.5], ["", ""]).share == 0
    assert math.isnan(planted([0.0, 0.0], ["a", ""]).share)
    assert math.isnan(planted([math.nan, 0.5], ["", "a"]).share)


def test_the_table_of_flips_is_this_markdown():
    assert flip_table(planted([0.5, 0.25, 0.0, 0.25], ["a", "", "", "a b"])) == (
        "| layer      |   smallest gap |   median gap |   near-ties |   flips |"
        "   of comparisons |\n"
        "|:-----------|---------------:|-------------:|------------:|--------:|"
        "-----------------:|\n"
        "| down.0.aps |        2.0e-08 |      1.0e-02 |      25.00% |  50.00% |"
        "                4 |\n\n"
        "2 of 4 samples (image × shift) flipped; they make 75.00% of the mean NMSE.\n\n"
        "The worst of them: case x, image 0, shift (1, 0), NMSE 5.0e-01, at a.\n"
    )
    assert flip_table(planted([0.0], [""])).endswith("0 of 1 samples (image × shift) flipped.\n")


def test_slices_of_a_volume_are_samples_with_one_shift_in_the_units_of_the_rows():
    class Volume(eb.Suite):
        name = "volume"

        def cases(self):
            return ["knee"]

        def load(self, name):
            scale, offset = torch.tensor([2.0, 3.0]), torch.tensor([1.0, 5.0])
            return eb.Case(name=name, input=noise(batch=2), scale=scale, offset=offset)

    class Zeros(nn.Module):
        """Keeps the offset, loses the rest where an image was shifted by an odd number."""

        def __init__(self):
            super().__init__()
            self.down = APSDown(2)

        def forward(self, x):
            self.down(x)
            return x - x.roll(2, -1) * (x[:, :, :1] * 0)

    found = trace_flips(Zeros(), Volume(), "random:n=2,max=4", device="cpu")
    assert found.samples[["case", "image"]].to_numpy().tolist() == [
        ["knee", 0], ["knee", 0], ["knee", 1], ["knee", 1],
    ]  # fmt: skip
    assert found.samples["dy"].tolist()[:2] == found.samples["dy"].tolist()[2:]
    rows = eb.evaluate(Zeros(), Volume(), shifts="random:n=2,max=4", device="cpu").rows
    assert rows.loc[rows["draw"] > 0, "eq_nmse"].tolist() == found.samples["eq_nmse"].tolist()[:2]


def test_any_layer_takes_part_that_follows_the_protocol_and_is_left_as_it_was():
    class Stubborn(nn.Module):
        """Keeps the samples in the corner, wherever the image lies."""

        stride = (2, 4)

        def __init__(self):
            super().__init__()
            self.record_choices, self.choices, self.gaps = False, None, None

        def forward(self, *, maps):
            if self.record_choices:
                self.choices = torch.zeros(len(maps), dtype=torch.int64)
                self.gaps = torch.full((len(maps),), 0.5)
            return maps[..., ::2, ::4]

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Stubborn()

        def forward(self, x):
            return self.layer(maps=x).repeat_interleave(2, -2).repeat_interleave(4, -1)

    network = Wrapped()
    found = trace_flips(network, noise(), "grid:max=4", device="cpu")
    still = (found.samples["dy"] % 2 == 0) & (found.samples["dx"] % 4 == 0)
    assert (found.samples["flipped"] == "").tolist() == still.tolist()
    ((name, layer),) = adaptive_layers(network)
    assert (name, layer.record_choices, layer.choices, layer.gaps) == ("layer", False, None, None)
    assert not layer._forward_hooks


def test_a_network_without_adaptive_layers_is_refused_with_what_would_make_one():
    with pytest.raises(eb.UsageError) as refused:
        trace_flips(nn.Identity(), noise(), label="plain")
    assert str(refused.value) == (
        "plain has no adaptive layers: a layer takes part by having record_choices and stride"
    )
