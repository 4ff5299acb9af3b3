"""What is done to an output makes no number: it is restored where it is an image, and no error is
relative to what was added to it."""

import pytest
import torch
from torch import nn

import equibench as eb

SETTINGS = "in.range=0..1,in.mean=0.5,in.std=0.25"
SHIFTS = "grid:max=3,step=1"


@pytest.fixture(scope="module")
def images():
    return 1e4 + torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def detector(x):
    """A map of probabilities that does not move with the image."""
    ramp = torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)
    return torch.sigmoid(10 * (ramp - 0.5) + 0 * x)


def moving(x):
    return x * torch.linspace(0.5, 1, x.shape[-1], dtype=x.dtype)


def test_a_map_of_probabilities_is_not_brought_onto_the_input(images):
    output = eb.adapt(detector, SETTINGS)(images)
    assert torch.equal(output, detector(images))
    restored = eb.adapt(detector, f"{SETTINGS},out.restore=true")(images)
    assert restored.min() > 9e3


@pytest.mark.parametrize("restore", ["", ",out.restore=true", ",out.restore=false"])
def test_errors_are_relative_to_the_network_s_own_output(restore, images):
    adapted = eb.evaluate(eb.adapt(detector, SETTINGS + restore), images, shifts=SHIFTS).rows
    own = eb.evaluate(detector, images, shifts=SHIFTS).rows
    assert adapted["eq_nmse"].tolist() == pytest.approx(own["eq_nmse"].tolist(), rel=1e-4)
    assert adapted["eq_nmse"].max() > 1e-2


def test_an_image_is_brought_back_for_its_ground_truth(images):
    suite = eb.ImageCases(images, targets=images)
    rows = eb.evaluate(eb.adapt(nn.Identity(), SETTINGS), suite, shifts=SHIFTS).rows
    # a few roundings of float32, relative to the values
    assert rows["nmse"].max() < 1e-12
    plain = eb.evaluate(eb.adapt(nn.Identity(), f"{SETTINGS},out.restore=false"), suite).rows
    assert plain["nmse"].min() > 0.9


def test_a_network_that_breaks_an_image_is_caught_through_its_offset(images):
    rows = eb.evaluate(eb.adapt(moving, "in.range=0..1"), images, shifts=SHIFTS).rows
    assert rows["eq_nmse"].max() > 1e-3
