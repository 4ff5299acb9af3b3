"""Pixel agreement, IoU, Dice and boundary Dice of class maps, from counts of pixels.

A class map (B, K, H, W) is 1 where a pixel is of a class and 0 elsewhere; a pixel of which nothing
is known is of no class. All counts are whole numbers, and so the same on every machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from equibench.errors import UsageError
from equibench.foundation.lazy_imports import Lazy
from equibench.metrics.metric import Metric, Prepared
from equibench.registry.registries import register_metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:  # tables and lists ask what a metric is, and compute none
    torch = Lazy("torch")

__all__ = ["agreement", "boundary_dice", "class_maps", "dice", "iou"]


def class_maps(classes: Tensor, count: int) -> Tensor:
    """Class maps (B, K, *size) in float64 of classes (B, 1, *size), negative where ignored.

    Raises:
        UsageError: a class is not below ``count``.
    """
    if int(classes.max()) >= count:
        raise UsageError(f"class {int(classes.max())} of {count}, counted from 0")
    every = torch.arange(count, device=classes.device).view(1, -1, *[1] * (classes.ndim - 2))
    return (classes == every).double()


class LabelMetric(Metric):
    """A metric of class maps, of all classes together or of one alone.

    The mean over classes leaves out those that neither map has. What neither map has is the same
    in both: a class alone, or a map without any pixel of a known class, has the value 1.

    Args:
        number: of the class that alone counts; all of them where it is None.
        tolerance: in pixels, of metrics of boundaries.
    """

    labels = True
    higher_is_better = True
    bounds = (0.0, 1.0)
    format = ".4f"
    delta_format = ".2g"
    each_class: ClassVar[bool] = True
    """Whether it has a value for each class."""
    tolerant: ClassVar[bool] = False
    """Whether there is a tolerance."""

    def __init__(self, number: int | None = None, tolerance: int = 1) -> None:
        self.number, self.tolerance = number, tolerance

    def variant(self, name: str) -> Metric | None:
        """``dice-class-1`` of ``dice``, ``boundary-dice-2px-class-1`` of ``boundary-dice``."""
        found = re.fullmatch(rf"{type(self).name}(?:-(\d+)px)?(?:-class-(\d+))?", name)
        if found is None or (found[1] and not self.tolerant) or (found[2] and not self.each_class):
            return None
        number = None if found[2] is None else int(found[2])
        made = type(self)(number, int(found[1] or 1))
        pixels = f" within {found[1]} px" if found[1] else ""
        only = "" if number is None else f" of class {number}"
        made.name, made.title = name, f"{type(self).title}{pixels}{only}"
        return made

    def unfit(self, outputs: Tensor, labels: bool) -> str | None:
        if not labels:
            return (
                f"{self.name} compares labels, and these are none: set out.labels=argmax, or of "
                "one channel out.labels=threshold:0.5 (of logits threshold:0)"
            )
        count = outputs.shape[1]
        if self.number is not None and self.number >= count:
            return f"{self.name}: there are {count} classes, 0 to {count - 1}"
        return None

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        """From the counts (..., 2K): twice what is common to both maps, and all of both."""
        common, both = totals.chunk(2, dim=-1)
        return self._mean(common / both, both)

    def _mean(self, scores: Tensor, present: Tensor) -> Tensor:
        """Over the classes that are present at all, or that of one class alone."""
        absent = present == 0
        if self.number is not None:
            scores, absent = scores[..., self.number, None], absent[..., self.number, None]
        found = (~absent).sum(dim=-1)
        mean = scores.where(~absent, 0.0).sum(dim=-1) / found
        return mean.where(found > 0, 1.0)


class _Overlap(LabelMetric):
    """What is made of the pixels that each map gives to a class, and that both do."""

    sums = "overlap"

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        reference = reference.to(torch.float64)
        return reference, reference.sum(dim=1, keepdim=True), reference.flatten(2).sum(dim=2)

    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        reference, known, mine = prepared
        prediction = prediction * known  # where nothing is known, nothing counts
        common = (reference * prediction).flatten(2).sum(dim=2)
        theirs = prediction.flatten(2).sum(dim=2)
        return torch.cat((2 * common, mine + theirs), dim=1)


class Agreement(_Overlap):
    """The share of pixels to which both maps give the same class."""

    name = "agreement"
    title = "pixel agreement"
    each_class = False

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        common, both = (part.sum(dim=-1) for part in totals.chunk(2, dim=-1))
        return (common / both).where(both != 0, 1.0)


class IoU(_Overlap):
    """Intersection over union (Jaccard), the mean over classes."""

    name = "iou"
    title = "IoU"

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        common, both = totals.chunk(2, dim=-1)
        return self._mean(common / (2 * both - common), both)


class Dice(_Overlap):
    """Dice: twice the pixels in common over those of both, the mean over classes."""

    name = "dice"
    title = "Dice"


class BoundaryDice(LabelMetric):
    """Dice of boundaries: the share of both boundaries that is within some pixels of the other.

    The boundary of a class are its pixels that have a neighbour of another class, or none, on one
    of their sides; ignored pixels are of no class. Distances are Euclidean.

    Source: Nikolov et al. 2021, surface Dice, by counts of boundary pixels as in MONAI's
    ``compute_surface_dice``.
    """

    name = "boundary-dice"
    title = "boundary Dice"
    tolerant = True

    def __init__(self, number: int | None = None, tolerance: int = 1) -> None:
        super().__init__(number, tolerance)
        self.sums = f"boundaries within {tolerance} px"

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        reference = reference.to(torch.float64)
        return reference, reference.sum(dim=1, keepdim=True)

    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        reference, known = prepared
        prediction = prediction * known
        reference = reference.expand_as(prediction)
        rows = []
        for image, (one, other) in enumerate(zip(reference, prediction, strict=True)):
            if other.isnan().any():
                rows.append(other.new_full((2 * len(other),), torch.nan))
                continue
            if origin is not None:  # boundaries do not wrap around the frame
                back = (-origin[image]).tolist()
                dims = tuple(range(-len(back), 0))
                one, other = one.roll(back, dims), other.roll(back, dims)
            pairs = zip(one.cpu().numpy() > 0, other.cpu().numpy() > 0, strict=True)
            counts = [_boundary_counts(a, b, self.tolerance) for a, b in pairs]
            rows.append(torch.tensor(counts, dtype=torch.float64).T.flatten())
        return torch.stack(rows).to(prediction.device)


def _boundary_counts(
    one: NDArray[np.bool_], other: NDArray[np.bool_], tolerance: int
) -> tuple[int, int]:
    """How many boundary pixels of two regions lie near the other's, and how many there are."""
    from scipy.ndimage import binary_erosion

    edges = [region & ~binary_erosion(region) for region in (one, other)]
    count = int(edges[0].sum()), int(edges[1].sum())
    if not all(count) or np.array_equal(*edges):
        return (0 if 0 in count else sum(count)), sum(count)
    near = _near(edges[0], edges[1], tolerance) + _near(edges[1], edges[0], tolerance)
    return near, sum(count)


def _near(edge: NDArray[np.bool_], other: NDArray[np.bool_], tolerance: int) -> int:
    """How many pixels of an edge are within a tolerance of another."""
    from scipy.ndimage import distance_transform_edt

    return int((distance_transform_edt(~other)[edge] <= tolerance).sum())


agreement = register_metric("agreement")(Agreement())
iou = register_metric("iou")(IoU())
dice = register_metric("dice")(Dice())
boundary_dice = register_metric("boundary-dice")(BoundaryDice())
