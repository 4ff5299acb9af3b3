"""With its borders left out, a zero-padded network has the stride that its layers have."""

import pytest
import torch
from torch import nn

import equibench as eb
from equibench.evaluation.inner_stride import window_of
from equibench.evaluation.model_on_suite import Evaluation
from equibench.measurement.run_config import validated
from equibench.measurement.settings import Settings
from equibench.reports.diagnosis.probe import probe_text


def probed(model, size=(96, 96)):
    torch.manual_seed(0)
    images = torch.rand(1, 1, *size)
    suite = eb.ImageCases(images)
    suite.label = suite.name
    fields = {"models": ["m"], "suites": ["s"], "device": "cpu", "batch": 2}
    settings = Settings.of(validated(fields, "test"))
    evaluation = Evaluation(model.eval(), "net", suite, settings)
    found, inside = evaluation.probe(suite.cases()), evaluation.inner_stride(suite.cases())
    return found.periodic, inside, probe_text(found, "net", "images", inside)


def padded(times=1):
    return nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(times)))


def pooled(stride):
    up = nn.Upsample(scale_factor=stride)
    return nn.Sequential(padded(), nn.MaxPool2d(stride), padded(), up, padded())


@pytest.mark.parametrize("layers", [1, 3, 7])
def test_borders_of_convolutions_reach_as_far_as_their_kernels(layers):
    periodic, inside, _ = probed(padded(layers))
    assert not periodic
    assert inside.stride == (1, 1)
    assert inside.reach == layers


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_stride_of_zero_padded_pooling_is_found_inside(stride):
    _, inside, text = probed(pooled(stride))
    assert inside.stride == (stride, stride)
    assert 0 < inside.reach <= 2 + 2 * stride
    assert f"stride {stride} × {stride}; borders reach {inside.reach} pixels" in text


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_borders_reach_as_far_as_kernels_and_cells_carry_their_padding(stride):
    """One pixel, so one cell of the pooling, and its neighbour behind the second convolution."""
    model = pooled(stride)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):  # nothing of what padding changes is lost on the way
            nn.init.constant_(layer.weight, 1 / 9)
            nn.init.zeros_(layer.bias)
    model[1] = nn.AvgPool2d(stride)
    _, inside, text = probed(model)
    assert inside.stride == (stride, stride)
    assert inside.reach == 2 * stride + 1
    assert f"stride {stride} × {stride}; borders reach {2 * stride + 1} pixels" in text


class Brightened(nn.Module):
    """The mean of the whole image, and what zero padding leaves of it."""

    def forward(self, x):
        moved = nn.functional.pad(x, (1, 0, 1, 0))[..., :-1, :-1]
        return moved + moved.mean(dim=(-2, -1), keepdim=True)


def test_what_looks_at_the_whole_image_has_no_stride_inside():
    periodic, inside, text = probed(Brightened())
    assert not periodic
    assert inside.stride == (None, None)
    assert "no displacement up to 32 pixels commutes in the middle of windows of 64×64" in text


def test_a_model_of_one_size_tells_nothing_of_windows():
    class Fixed(nn.Module):
        def forward(self, x):
            if x.shape[-1] != 96:
                raise ValueError("96 alone")
            return nn.functional.pad(x, (1, 0, 0, 0))[..., :-1]

    _, inside, text = probed(Fixed())
    assert inside is None
    assert "inside  " not in text


@pytest.mark.parametrize(
    ("size", "window"),
    [((320, 320), (288, 288)), ((96, 128), (64, 96)), ((64, 64), (32, 32)), ((20, 20), (14, 14)),
     ((8, 8), None), ((64,), (32,))],
)  # fmt: skip
def test_windows_leave_room_and_are_multiples_of_32_where_they_can(size, window):
    assert window_of(size) == window
