"""True translation: two windows of one larger image, compared where they overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from equibench.errors import UsageError
from equibench.foundation.lazy_imports import Lazy
from equibench.registry.registries import register_transform
from equibench.transforms.shift_plans import DEFAULT_SHIFTS, ShiftPlan, Shifts, parse_shifts
from equibench.transforms.transform import Region, Size, Transform, inside

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")

__all__ = ["BY_DISTANCE", "OVERLAP_NMSE", "Crop", "border_distance"]

BY_DISTANCE = "by_distance"
"""The column that holds an error for each distance to the nearest border, from 0 pixels on."""

OVERLAP_NMSE = "overlap_nmse"
"""The column of the NMSE where the windows overlap, with a margin of 0."""

_BINS = 256
"""Distances that are told apart."""


@register_transform("crop")
@dataclass
class Crop(Transform):
    """True translation: two windows of one image, displaced, compared where they overlap.

    Args:
        plan: by how many pixels the second window is displaced.
        window: its side in pixels; where it is 0, half of the image's shortest side, in whole
            multiples of 32 where there is room for one.
        margin: pixels left out along the borders of the overlap.
    """

    plan: ShiftPlan
    window: int = 0
    margin: int = 0

    name = label = "crop"
    lossless = True
    columns = (OVERLAP_NMSE, BY_DISTANCE)

    def __init__(self, plan: ShiftPlan | None = None, window: int = 0, margin: int = 0) -> None:
        self.plan = parse_shifts(DEFAULT_SHIFTS) if plan is None else plan
        self.window, self.margin = window, margin
        if window < 0 or margin < 0:
            raise UsageError(f"crop: window and margin are pixels, not {min(window, margin)}")

    @property
    def seeded(self) -> bool:
        return self.plan.seeded

    def count(self, axes: int = 2) -> int | None:
        return self.plan.count(axes)

    def elements(self, seed: int, suite: str, case: str, size: Size) -> Shifts:
        drawn = self.plan.shifts(seed, suite, case, size)
        furthest = np.abs(drawn).max(axis=0)
        largest = int((np.array(size) - 2 * furthest).min())
        if self._side(size) > largest:
            shifts = "a smaller max, or" if largest < 1 else f"window={largest} or less, or"
            raise UsageError(
                f"crop: a window of {self._side(size)} pixels displaced by up to "
                f"{int(furthest.max())} leaves an image of {_by(size)}: take {shifts} larger images"
            )
        for shift in drawn.tolist():
            self.region(shift, size)
        return drawn

    def moved_size(self, element: Sequence[float], size: Size) -> Size:
        return self._window(size)

    def move(self, image: Tensor, element: Sequence[float]) -> Tensor:
        size = tuple(image.shape[1:])
        corners = self._corner(element, size)
        window = self._window(size)
        box = tuple(slice(c, c + n) for c, n in zip(corners, window, strict=True))
        return inside(image, box).contiguous()

    def undo(self, output: Tensor, element: Sequence[float], size: Size) -> Tensor:
        scale = output.shape[-1] // self._side(size)
        # what is rolled in lies beyond the overlap
        return output.roll([int(-k) * scale for k in element], tuple(range(-len(element), 0)))

    def region(self, element: Sequence[float], size: Size) -> Region:
        window = self._window(size)
        box = _overlap(element, window, self.margin)
        if any(each.stop <= each.start for each in box):
            least = min(n - abs(int(k)) for k, n in zip(element, window, strict=True))
            raise UsageError(
                f"crop: a margin of {self.margin} leaves nothing of a window of {_by(window)} "
                f"displaced by {tuple(int(k) for k in element)}: take "
                f"margin={max(0, least - 8) // 2} or less, or a larger window"
            )
        return box

    def observe(
        self, image: Tensor, reference: Tensor, output: Tensor, element: Sequence[float]
    ) -> Mapping[str, Tensor]:
        """Squared error, reference's energy and pixels at each distance to a border."""
        size = tuple(reference.shape[1:])
        scale = size[-1] // self._side(tuple(image.shape[1:]))
        element = [k * scale for k in element]
        box = _overlap(element, size, 0)
        distance = border_distance(element, size)[box].reshape(-1) // scale
        # on the CPU, where sums have one order
        ours, theirs = (inside(each, box).double().cpu() for each in (output, reference))
        squares, energy = ((each**2).sum(dim=0).reshape(-1) for each in (ours - theirs, theirs))
        each = torch.stack((squares, energy, torch.ones_like(squares)))
        sums = each.new_zeros(3, _BINS).index_add_(1, distance.clamp(max=_BINS - 1), each)
        every = sums.reshape(-1).to(reference.device)
        return {OVERLAP_NMSE: every, BY_DISTANCE: every}

    def observed(self, column: str, totals: Tensor) -> Sequence[Any]:
        """The NMSE, or the mean squared error at each distance over the reference's mean square."""
        error, energy, pixels = totals.reshape(len(totals), 3, -1).unbind(1)
        if column == OVERLAP_NMSE:
            whole = error.sum(dim=1)
            found: list[float] = torch.where(whole == 0, whole, whole / energy.sum(dim=1)).tolist()
            return found
        mean_square = energy.sum(dim=1, keepdim=True) / pixels.sum(dim=1, keepdim=True)
        density = torch.where(error == 0, error, error / mean_square) / pixels
        each = zip(density, (pixels > 0).sum(dim=1).tolist(), strict=True)
        return [line[:furthest].tolist() for line, furthest in each]

    def _window(self, size: Size) -> Size:
        return (self._side(size),) * len(size)

    def _side(self, size: Size) -> int:
        half = max(1, min(size) // 2)
        side = self.window or (half // 32 * 32 or half)
        if side > min(size):
            raise UsageError(
                f"crop: a window of {side} pixels is larger than an image of {_by(size)}: take "
                f"window={half} or less, or larger images"
            )
        return side

    def _room(self, size: Size) -> Size:
        return tuple(n - w for n, w in zip(size, self._window(size), strict=True))

    def _corner(self, element: Sequence[float], size: Size) -> list[int]:
        """Where a window lies: the first in the middle of the image."""
        return [n // 2 - int(k) for k, n in zip(element, self._room(size), strict=True)]


def border_distance(element: Sequence[float], size: Size) -> Tensor:
    """Pixels to the nearest border of either window, (*size), in the first one's coordinates."""
    distance: Tensor | None = None
    for axis, (k, n) in enumerate(zip(element, size, strict=True)):
        position = torch.arange(n)
        own = [position, n - 1 - position]
        other = [position + int(k), n - 1 - position - int(k)]
        nearest = torch.stack(own + other).amin(dim=0)
        nearest = nearest.reshape([n if a == axis else 1 for a in range(len(size))])
        distance = nearest if distance is None else torch.minimum(distance, nearest)
    assert distance is not None
    return distance


def _overlap(element: Sequence[float], window: Size, margin: int) -> Region:
    """Where the second window lies on the first, ``margin`` pixels inside."""
    shifts = [int(k) for k in element]
    return tuple(
        slice(max(0, -k) + margin, n - max(0, k) - margin)
        for k, n in zip(shifts, window, strict=True)
    )


def _by(size: Size) -> str:
    return "×".join(map(str, size))
