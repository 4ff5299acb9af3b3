"""What adaptive layers say of their choices, and which maps and strides they take."""

from typing import get_args

import pytest
import torch

from equibench.models.polyphase import (
    APSDown,
    APSUp,
    Criterion,
    aps_downsample,
    polyphase_index,
)


def line(*values):
    """A batch of 1-D maps of one channel."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(
    ("criterion", "index", "gap"),
    [
        ("l1", 0, 1 / 7),  # 7 and 6
        ("l1-min", 1, 1 / 7),
        ("l2", 1, (36**0.5 - 25**0.5) / 6),
        ("l2-min", 0, (36**0.5 - 25**0.5) / 6),
        ("linf", 1, 2 / 6),
        ("linf-min", 0, 2 / 6),
    ],
)
def test_the_gap_is_that_of_the_two_best_norms_relative_to_the_larger(criterion, index, gap):
    found, gaps = polyphase_index(line([4.0, -6.0, -3.0, 0.0]), 2, criterion)
    assert found.tolist() == [index]
    assert gaps.tolist() == [pytest.approx(gap)]
    assert (found.dtype, gaps.dtype) == (torch.int64, torch.float64)


def test_of_three_norms_the_two_best_make_the_gap():
    x = line([5.0, 10.0, 8.0])
    assert polyphase_index(x, 3)[1].tolist() == [pytest.approx(0.2)]
    assert polyphase_index(x, 3, "l2-min")[1].tolist() == [pytest.approx(3 / 8)]


def test_a_map_of_zeros_is_a_tie_and_no_nan():
    assert polyphase_index(line([0.0, 0.0]), 2)[1].tolist() == [0.0]


@pytest.mark.parametrize(("gap", "near"), [(0.0, True), (1e-7, True), (1e-5, False)])
def test_a_near_tie_is_a_relative_gap_below_one_millionth(gap, near):
    layer = APSDown(2)
    layer.count_near_ties = True
    for scale in (1e-3, 1.0, 1e3):
        layer(scale * line([1.0, 1.0 + gap]))
        assert layer.near_ties.tolist() == [near]


def test_choices_are_recorded_only_when_asked():
    layer, x = APSDown(2), line([1.0, 2.0], [5.0, 4.0])
    layer(x)
    assert layer.choices is layer.gaps is layer.near_ties is None
    layer.record_choices = True
    _, index = layer(x)
    assert layer.choices.tolist() == index.tolist() == [1, 0]
    assert layer.gaps.tolist() == [pytest.approx(0.5), pytest.approx(0.2)]
    assert layer.near_ties is None


def test_no_choice_depends_on_another_image_of_the_batch():
    """Not even on one that has overflowed."""
    tied = line([2.0, 1.0, 2.0, 3.0])
    alone = polyphase_index(tied, 2, "l1")[0].tolist()
    for value in (torch.inf, torch.nan, 1e300):
        batch = torch.cat((torch.full_like(tied, value), tied))
        assert polyphase_index(batch, 2, "l1")[0][1:].tolist() == alone


def test_a_choice_passes_no_gradient():
    x = line([1.0, 2.0]).requires_grad_()
    assert not polyphase_index(x, 2)[1].requires_grad


def test_dimensions_may_have_strides_of_their_own_and_one_of_them_none():
    x = torch.arange(24.0).reshape(1, 1, 4, 6)
    kept, index = aps_downsample(x, (1, 3))
    assert kept.tolist() == [[[[2, 5], [8, 11], [14, 17], [20, 23]]]]
    assert index.tolist() == [2]
    layer = APSDown([2, 1])
    assert layer.stride == (2, 1)
    assert layer(x)[0].shape == (1, 1, 2, 6)
    assert APSUp([2, 1])(*layer(x)).shape == x.shape


@pytest.mark.parametrize(
    ("shape", "stride"),
    [
        ((8, 8), (1, 1)),
        ((8, 8), (2, 0)),
        ((8, 8), (2,)),
        ((8, 8), (2, 2, 2)),
        ((), 2),
        ((2, 2, 2, 2), 2),
    ],
)
def test_strides_that_do_not_fit_a_map_are_refused(shape, stride):
    with pytest.raises(ValueError, match=r"^stride .* does not fit a map of shape \(1, 1"):
        aps_downsample(torch.ones(1, 1, *shape), stride)


@pytest.mark.parametrize("criterion", get_args(Criterion))
def test_a_layer_chooses_by_its_own_criterion(criterion):
    x = line([4.0, -6.0, -3.0, 0.0], [0.0, 1.0, 5.0, 3.0])
    kept, index = APSDown(2, criterion)(x)
    expected, chosen = aps_downsample(x, 2, criterion)
    assert torch.equal(kept, expected)
    assert index.tolist() == chosen.tolist() == polyphase_index(x, 2, criterion)[0].tolist()


def test_layers_say_what_they_are():
    assert str(APSDown(2, "l1")) == "APSDown(stride=2, criterion='l1')"
    assert str(APSUp((2, 3))) == "APSUp(stride=(2, 3))"
