"""Metrics of class maps, by counts that other libraries find as well, to the last pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lazy_imports import Lazy

import equibench as eb
from equibench.metrics.chosen import metric_called, metrics_of
from equibench.metrics.labels import agreement, boundary_dice, class_maps, dice, iou

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

monai = Lazy("monai.metrics")
torchmetrics = Lazy("torchmetrics.functional.classification")

IGNORED = -1


def blobs(seed, classes=4, size=(40, 56)):
    """Classes (1, 1, H, W) in regions of some pixels."""
    noise = torch.randn(1, classes, *size, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 9, 1, 4)
    return smooth.argmax(dim=1, keepdim=True)


def metric(metric, truth, prediction, classes=4):
    return float(metric(class_maps(truth, classes), class_maps(prediction, classes), 1.0))


TRUTH, OTHER = blobs(0), blobs(1)
WITH_IGNORED = TRUTH.masked_fill(blobs(2) == 0, IGNORED)


@pytest.mark.parametrize("truth", [TRUTH, WITH_IGNORED], ids=["whole", "ignored"])
@pytest.mark.parametrize("prediction", [OTHER, TRUTH, OTHER.clamp(max=1)])
def test_counts_are_those_of_torchmetrics(truth, prediction):
    options = {"num_classes": 4, "ignore_index": IGNORED, "validate_args": False}
    scores = torchmetrics.multiclass_stat_scores(prediction, truth, average=None, **options)
    hits, extra, _, missed, support = scores.T.double()
    prepared = dice.prepare(class_maps(truth, 4), torch.ones(1))
    common, both = dice.partials(prepared, class_maps(prediction, 4), None)[0].view(2, -1)
    assert torch.equal(common, 2 * hits)
    assert torch.equal(both, 2 * hits + extra + missed)
    assert torch.equal(prepared[2][0], support)


@pytest.mark.parametrize("truth", [TRUTH, WITH_IGNORED], ids=["whole", "ignored"])
@pytest.mark.parametrize("prediction", [OTHER, TRUTH, OTHER.clamp(max=1)])
def test_values_are_those_of_torchmetrics_rounded_to_its_float32(truth, prediction):
    options = {"num_classes": 4, "ignore_index": IGNORED, "validate_args": False}
    theirs = {
        agreement: torchmetrics.multiclass_accuracy(prediction, truth, average="micro", **options),
        iou: torchmetrics.multiclass_jaccard_index(prediction, truth, **options),
        dice: torchmetrics.multiclass_f1_score(prediction, truth, average="macro", **options),
    }
    for ours, value in theirs.items():
        assert metric(ours, truth, prediction) == pytest.approx(float(value), rel=4e-7)
    each = torchmetrics.multiclass_jaccard_index(prediction, truth, average=None, **options)
    for k, value in enumerate(each.tolist()):
        mine = metric(metric_called(f"iou-class-{k}"), truth, prediction)
        assert mine == pytest.approx(value, rel=4e-7)


def test_the_second_of_two_classes_is_the_foreground_of_binary_metrics():
    truth, prediction = (TRUTH > 1).long(), (OTHER > 1).long()
    ours = metric(metric_called("iou-class-1"), truth, prediction, 2)
    assert ours == pytest.approx(
        float(torchmetrics.binary_jaccard_index(prediction, truth)), rel=4e-7
    )


@pytest.mark.parametrize("prediction", [OTHER, TRUTH.roll(1, -1), TRUTH.roll((2, 1), (-2, -1))])
@pytest.mark.parametrize("tolerance", [1, 2])
def test_values_are_those_of_monai(prediction, tolerance):
    maps = class_maps(prediction, 4), class_maps(TRUTH, 4)
    boundary = monai.compute_surface_dice(*maps, [float(tolerance)] * 4, include_background=True)
    theirs = {
        "dice": monai.compute_dice(*maps, include_background=True),
        "iou": monai.compute_iou(*maps, include_background=True),
        f"boundary-dice-{tolerance}px": boundary,
    }
    for name, values in theirs.items():
        for k, value in enumerate(values[0].tolist()):
            mine = metric(metric_called(f"{name}-class-{k}"), TRUTH, prediction)
            assert mine == pytest.approx(value, rel=4e-7)
        mine = metric(metric_called(name), TRUTH, prediction)
        assert mine == pytest.approx(float(values.double().nanmean()), rel=4e-7)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_iou_dice_and_agreement_follow_from_the_confusion_matrix(data):
    count = data.draw(st.integers(2, 5))
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    pixels = shape[0] * shape[1]
    drawn = [
        data.draw(st.lists(st.integers(low, count - 1), min_size=pixels, max_size=pixels))
        for low in (IGNORED, 0)
    ]
    truth, prediction = (torch.tensor(d).view(1, 1, *shape) for d in drawn)
    table = np.zeros((count, count))
    for t, p in zip(*drawn, strict=True):
        if t != IGNORED:
            table[t, p] += 1
    hits, rows, columns = np.diag(table), table.sum(1), table.sum(0)
    present = rows + columns > 0
    known = table.sum()
    expected = {
        agreement: hits.sum() / known if known else 1,
        iou: (hits / np.where(present, rows + columns - hits, 1))[present].mean() if known else 1,
        dice: (2 * hits / np.where(present, rows + columns, 1))[present].mean() if known else 1,
    }
    for ours, value in expected.items():
        assert metric(ours, truth, prediction, count) == pytest.approx(value, rel=1e-14)


def test_what_neither_map_has_is_the_same_in_both_and_no_part_of_a_mean():
    truth = torch.tensor([[[[0, 0], [1, 1]]]])
    other = torch.tensor([[[[0, 1], [1, 1]]]])
    assert metric(metric_called("dice-class-2"), truth, other, 3) == 1
    assert metric(dice, truth, other, 3) == metric(dice, truth, other, 2) < 1
    nothing = torch.full((1, 1, 2, 2), IGNORED)
    for ours in (agreement, iou, dice, boundary_dice):
        assert metric(ours, nothing, other, 3) == 1


def test_a_boundary_that_moved_by_a_pixel_is_within_one_pixel_and_not_within_none():
    square = torch.zeros(1, 1, 16, 16, dtype=torch.int64)
    square[..., 4:10, 4:10] = 1
    moved = square.roll(2, -1)
    assert metric(metric_called("boundary-dice-2px-class-1"), square, moved, 2) == 1
    one = metric(metric_called("boundary-dice-class-1"), square, moved, 2)
    assert 0 < one < 1
    assert one > metric(metric_called("boundary-dice-0px-class-1"), square, moved, 2)


def test_boundaries_do_not_wrap_around_the_frame_of_comparison():
    """In the frame of shifted images the same pixels are apart that are neighbours elsewhere."""
    truth, other, shift = TRUTH, TRUTH.roll(1, -1), (5, 9)
    there = [maps.roll(shift, (-2, -1)) for maps in (truth, other)]
    prepared = boundary_dice.prepare(class_maps(truth, 4), torch.ones(1))
    origin = torch.tensor([[-5, -9]])
    sums = boundary_dice.partials(prepared, class_maps(other, 4), origin)
    assert float(boundary_dice.value(sums, torch.ones(1))) == metric(boundary_dice, *there)


def test_sums_of_slices_are_those_of_their_volume():
    truths, others = (torch.cat([blobs(s) for s in seeds]) for seeds in ((0, 1), (2, 3)))
    for ours in (agreement, iou, dice):
        prepared = ours.prepare(class_maps(truths, 4), torch.ones(2))
        sums = ours.partials(prepared, class_maps(others, 4), None).sum(dim=0)
        tall = [torch.cat(list(maps), dim=-2)[None] for maps in (truths, others)]
        assert float(ours.value(sums, torch.ones(()))) == metric(ours, *tall)


def test_a_pixel_that_is_no_number_makes_the_value_none():
    maps = class_maps(TRUTH, 4)
    broken = maps.clone()
    broken[0, :, 0, 0] = torch.nan
    for ours in (agreement, iou, dice, boundary_dice):
        assert torch.isnan(ours(maps, broken, 1.0)).all()


def test_variants_are_found_by_name_and_by_column():
    found = metric_called("boundary-dice-3px-class-2")
    assert (found.name, found.title) == (
        "boundary-dice-3px-class-2",
        "boundary Dice within 3 px of class 2",
    )
    names = [m.name for m in metrics_of(["eq_dice_class_1", "delta_iou_class_0", "psnr"])]
    assert names.index("dice-class-1") == names.index("dice") + 1
    assert "iou-class-0" in names
    assert "psnr-class-1" not in names
    for wrong in ("agreement-class-1", "dice-2px", "dice-class-x"):
        with pytest.raises(eb.UsageError, match=f"'{wrong}'"):
            metric_called(wrong)


def test_a_class_that_is_not_there_is_refused():
    with pytest.raises(eb.UsageError, match="class 3 of 3, counted from 0"):
        class_maps(TRUTH, 3)
