"""Components with equal norms: each part of the rule that tells them apart is needed."""

import pytest
import torch

from equibench.models.polyphase import aps_downsample, aps_upsample, polyphase_index


def symmetric():
    """Equal to its transpose: two of its components are each other's transposes."""
    x = torch.randint(0, 9, (8, 8), generator=torch.Generator().manual_seed(0)).double()
    x[::2, 1::2] += 9  # those two have the largest norm
    return (x + x.mT)[None, None]


def flat_and_uneven():
    """Two components of one l1 norm, one of them flat: neighbours have the same products."""
    return torch.tensor([[[2.0, 1.0, 2.0, 3.0]]], dtype=torch.float64)


def every_shift(x):
    return torch.cartesian_prod(*map(torch.arange, x.shape[2:])).reshape(-1, x.ndim - 2).tolist()


@pytest.mark.parametrize("image", [symmetric, flat_and_uneven])
def test_the_choice_between_components_of_one_norm_moves_with_every_shift(image):
    x = image()
    axes = tuple(range(2, x.ndim))

    def down_up(x):
        return aps_upsample(*aps_downsample(x, 2, "l1"), 2)

    for shift in every_shift(x):
        moved = torch.roll(x, shift, axes)
        assert torch.equal(down_up(moved), torch.roll(down_up(x), shift, axes)), shift


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize(("gap", "index"), [(1e-14, 1), (1e-9, 0)])
def test_what_is_a_tie_does_not_depend_on_the_unit(unit, gap, index):
    """Beyond rounding the larger norm decides; of a tie, which neighbours are more alike."""
    x = torch.tensor([[[2 + 4 * gap, 1.0, 2.0, 3.0]]], dtype=torch.float64)
    assert polyphase_index(unit * x, 2, "l1")[0].tolist() == [index]
