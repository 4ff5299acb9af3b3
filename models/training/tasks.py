"""What a network is trained for: which outputs are wanted, the loss, and what validates it."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from equibench.cases.suite import Suite, in_units
from equibench.errors import DataError, ModelError
from equibench.inference.model_outputs import shape
from equibench.measurement.row_table import case_values, suite_metrics
from equibench.metrics.chosen import metric_called
from equibench.metrics.labels import class_maps
from equibench.metrics.metric import Metric

__all__ = ["TASKS", "Regression", "Segmentation", "Task", "cross_entropy_and_dice"]

IGNORED = -1
"""The class of a pixel of which nothing is known."""


class Task(Protocol):
    """A loss, with what it needs and what is measured beside it."""

    shown: str
    """The metric that a progress bar shows."""

    def wanted(self, suite: Suite, target: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        """What a network's outputs are held against, in their units.

        Args:
            target: the ground truth (N, C, H, W) of a case.
            scale, offset: (N,) each, the units of the case.

        Raises:
            DataError: the ground truth is of another task.
        """

    def loss(self, suite: Suite, outputs: Tensor, targets: Tensor, label: str) -> Tensor:
        """The loss of a batch, a scalar.

        Raises:
            ModelError: outputs and targets do not fit.
        """

    def quality(
        self, suite: Suite, outputs: Tensor, case: Mapping[str, Tensor], label: str
    ) -> Iterator[tuple[Metric, Tensor]]:
        """The metrics of a whole case, as the harness measures them.

        Raises:
            ModelError: outputs and targets do not fit.
        """


class Regression:
    """Images: the mean squared error, and the suite's metrics in the units of its ground truth."""

    shown = "psnr"

    def wanted(self, suite: Suite, target: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        if not target.is_floating_point():
            raise DataError(f"{suite.label}: the ground truth is classes: --task segmentation")
        wanted = (target - offset[:, None, None, None]) / scale[:, None, None, None]
        return wanted if suite.clamp is None else wanted.clamp(-suite.clamp, suite.clamp)

    def loss(self, suite: Suite, outputs: Tensor, targets: Tensor, label: str) -> Tensor:
        if outputs.shape != targets.shape:
            raise ModelError(
                f"{label} returned {shape(outputs)} on {suite.label}, where the ground "
                f"truth is {shape(targets)}: set its number of output channels"
            )
        if suite.clamp is not None:
            outputs = outputs.clamp(-suite.clamp, suite.clamp)
        return mse_loss(outputs, targets)

    def quality(
        self, suite: Suite, outputs: Tensor, case: Mapping[str, Tensor], label: str
    ) -> Iterator[tuple[Metric, Tensor]]:
        moved = in_units(outputs.double(), suite.clamp, case["scale"], case["offset"])
        return case_values(suite, suite_metrics(suite), moved, case["target"])


class Segmentation:
    """Labels: cross entropy and soft Dice, and the suite's metrics of labels.

    Ignored pixels, of class −1, are left out of both.
    """

    shown = "dice"

    def wanted(self, suite: Suite, target: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
        if target.is_floating_point() or target.shape[1] != 1:
            raise DataError(
                f"{suite.label}: --task segmentation learns classes in whole numbers, and the "
                f"ground truth is {shape(target)} of {str(target.dtype).removeprefix('torch.')}"
            )
        return target.long()

    def loss(self, suite: Suite, outputs: Tensor, targets: Tensor, label: str) -> Tensor:
        self._check(suite, outputs, targets, label)
        return cross_entropy_and_dice(outputs, targets)

    def quality(
        self, suite: Suite, outputs: Tensor, case: Mapping[str, Tensor], label: str
    ) -> Iterator[tuple[Metric, Tensor]]:
        target = self.wanted(suite, case["target"], case["scale"], case["offset"])
        self._check(suite, outputs, target, label)
        metrics = [metric for metric in suite_metrics(suite) if metric.labels]
        count = outputs.shape[1]
        # argmax takes the first of equal ones, as out.labels does
        labels = class_maps(outputs.argmax(dim=1, keepdim=True), count)
        labels = labels.masked_fill(outputs.isnan().any(dim=1, keepdim=True), torch.nan)
        metrics = metrics or [metric_called(name) for name in ("iou", "dice")]
        return case_values(suite, metrics, labels, class_maps(target, count))

    def _check(self, suite: Suite, outputs: Tensor, targets: Tensor, label: str) -> None:
        """See that there is a channel for each class, and a pixel for each."""
        count = int(targets.max()) + 1
        if outputs.shape[1] < max(2, count):
            raise ModelError(
                f"{label} returned {shape(outputs)} on {suite.label}, where classes go up to "
                f"{count - 1}: give it a channel for each, out_channels={max(2, count)} or more"
            )
        if outputs.shape[2:] != targets.shape[2:]:
            raise ModelError(
                f"{label} returned {shape(outputs)} on {suite.label}, where the labels are "
                f"{shape(targets)}: train on labels of the size of their images"
            )


TASKS: Mapping[str, Task] = {"regression": Regression(), "segmentation": Segmentation()}
"""By the name that a recipe has for them."""


def cross_entropy_and_dice(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy plus one minus soft Dice, of the pixels whose class is known.

    Soft Dice is twice the sum of the probabilities of the true class over that of both maps, taken
    over all images of a batch, and averaged over the classes that the batch has.

    Source: Isensee et al., Nature Methods 18, 2021 (nnU-Net); Milletari et al., 3DV 2016.

    Args:
        outputs: logits (B, K, *size).
        targets: classes (B, 1, *size), −1 where ignored.
    """
    logits, classes = outputs.float(), targets[:, 0]
    known = classes != IGNORED
    entropy = cross_entropy(logits, classes, ignore_index=IGNORED, reduction="sum")
    truth = one_hot(classes.clamp(min=0), logits.shape[1]).movedim(-1, 1) * known[:, None]
    shares = logits.softmax(dim=1) * known[:, None]
    over = [0, *range(2, logits.ndim)]
    sizes = truth.sum(dim=over)
    dice = 2 * (shares * truth).sum(dim=over) / (shares.sum(dim=over) + sizes).clamp(min=1e-6)
    present = sizes > 0
    missed = ((1 - dice) * present).sum() / present.sum().clamp(min=1)
    return entropy / known.sum().clamp(min=1) + missed
