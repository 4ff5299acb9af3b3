"""The binomial low-pass filter: its taps, its stride, and what it leaves alone."""

import pytest
import torch

from equibench.models.blur import Blur, wrap


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_strided_blur_gives_every_stride_th_sample_of_the_blurred_map(dims):
    x = torch.rand(2, 3, *(8, 12, 4)[:dims], generator=torch.Generator().manual_seed(0))
    samples = (slice(None), slice(None), *dims * (slice(None, None, 2),))
    torch.testing.assert_close(Blur(3, dims, stride=2)(x), Blur(3, dims)(x)[samples])


def test_an_even_window_has_its_extra_pixel_behind_it():
    x = torch.arange(4.0).reshape(1, 1, 4)
    assert wrap(x, 2).tolist() == [[[0, 1, 2, 3, 0]]]
    assert wrap(x, 3).tolist() == [[[3, 0, 1, 2, 3, 0]]]
    assert Blur(2, 1)(x).tolist() == [[[0.5, 1.5, 2.5, 1.5]]]


def test_channels_are_blurred_each_by_itself():
    x = torch.zeros(1, 2, 8)
    x[0, 1, 4] = 1
    assert Blur(3, 1)(x)[0, 0].tolist() == 8 * [0]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 13, 40])
def test_taps_are_those_of_pascal_s_triangle_rounded_once(size):
    row = torch.ones(1, dtype=torch.float64)
    for _ in range(size - 1):
        row = torch.nn.functional.pad(row, (0, 1)) + torch.nn.functional.pad(row, (1, 0))
    expected = torch.outer(row, row) / 2.0 ** (2 * (size - 1))
    assert torch.equal(Blur(size).taps, expected.float())


def test_a_filter_of_one_tap_changes_nothing():
    x = torch.rand(1, 2, 6, 8)
    assert torch.equal(Blur(1)(x), x)


def test_weights_of_a_network_do_not_hold_the_taps():
    assert not Blur(3).state_dict()


@pytest.mark.parametrize(("size", "dims"), [(0, 2), (-1, 2), (3, 0), (3, 4)])
def test_a_filter_that_cannot_be_is_refused(size, dims):
    with pytest.raises(ValueError, match=f"^no binomial filter of size {size} in {dims} dim"):
        Blur(size, dims)


def test_a_blur_says_what_it_is():
    assert str(Blur(3, 1, 2)) == "Blur(size=3, dims=1, stride=2)"
