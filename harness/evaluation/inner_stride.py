"""A model's stride with its borders left out: which displacements commute far enough inside.

Two windows of one image, displaced, pass through the model. What lies further than its receptive
field from all borders saw the same pixels: an error there is made by sampling alone. The
displacements along an axis that leave none are the multiples of the stride inside.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equibench.foundation.rounding import allowance
from equibench.inference.forward_pass import call
from equibench.measurement.settings import Settings
from equibench.measurement.shifted_passes import filled
from equibench.transforms.crop import border_distance
from equibench.transforms.transform import Size, inside

__all__ = ["TRIED", "UNITS", "InnerStride", "inner_stride", "window_of"]

TRIED = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Displacements in pixels, of which the first that commutes is the stride."""

UNITS = (32, 48, 40)
"""Windows are multiples of one where the image has room: many networks take no other sizes."""

_ENOUGH = 4
"""Displacements that commute; further ones would show no other borders."""

_INNERMOST = 0.9
"""The share of the distances to the border beyond which pixels count as inside."""


@dataclass(frozen=True)
class InnerStride:
    """Which displacements commute with a model inside of its windows.

    Args:
        window: its size, in pixels.
        stride: along each axis; None where no displacement that was tried commutes.
        reach: pixels from the border beyond which those that commute have no error but rounding.
        least: the smallest error inside, of an axis without a stride; 0 where both have one.
        tried: the largest displacement, in pixels.
    """

    window: Size
    stride: tuple[int | None, ...]
    reach: int
    least: float
    tried: int

    @property
    def found(self) -> bool:
        """Whether every axis has a stride inside."""
        return None not in self.stride


def window_of(size: Size, unit: int = UNITS[0]) -> Size | None:
    """The window of images of ``size``: what leaves room to be displaced; None if there is none."""
    found = []
    for n in size:
        room = n - (TRIED[-1] if n >= 3 * TRIED[-1] else n // 4)
        side = room // unit * unit or room // 2 * 2
        if side < 8:
            return None
        found.append(side)
    return tuple(found)


def inner_stride(
    forward: Callable[[Tensor], Tensor],
    images: Sequence[Tensor],
    settings: Settings,
    label: str,
    place: str,
    unit: int = UNITS[0],
) -> InnerStride | None:
    """Displace windows of images (1, C, *size) by more and more pixels, until one commutes.

    Returns:
        None where the images are too small for windows.

    Raises:
        ModelError: the model raises, or takes no images of the windows' size.
    """
    window = window_of(tuple(images[0].shape[2:]), unit)
    if window is None:
        return None
    size = tuple(images[0].shape[2:])
    trial = _Trial(forward, images, window, settings, label, place)
    stride: list[int | None] = []
    reach, least, largest = 0, 0.0, 0
    for axis in range(len(size)):
        shifts = [k for k in TRIED if k <= min(size[axis] - window[axis], window[axis] // 2)]
        largest = max(largest, *shifts)
        errors, deep, commute = dict[int, Tensor](), dict[int, float](), list[int]()
        while shifts and len(commute) < _ENOUGH:
            errors |= trial.errors(axis, shifts[: settings.batch])
            deep |= {k: _inside(errors[k]) for k in shifts[: settings.batch]}
            commute = [k for k in deep if deep[k] <= trial.rounding]
            # what commutes are the multiples of the first that does
            rest = shifts[settings.batch :]
            shifts = [k for k in rest if not commute or k % commute[0] == 0]
        stride.append(commute[0] if commute else None)
        for k in commute:
            above = torch.nonzero(errors[k] > trial.rounding)  # NaN is not
            reach = max(reach, int(above.max()) + 1 if len(above) else 0)
        if not commute:
            least = max(least, min(deep.values()))
    return InnerStride(window, tuple(stride), reach, least, largest)


def _inside(error: Tensor) -> float:
    """The largest error in the middle of an overlap, of its errors by distance."""
    there = error[~error.isnan()]
    return float(there[int(_INNERMOST * (len(there) - 1)) :].max())


class _Trial:
    """The reference of every image, and windows beside it."""

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        images: Sequence[Tensor],
        window: Size,
        settings: Settings,
        label: str,
        place: str,
    ) -> None:
        self.forward, self.images, self.window = forward, images, window
        self.settings, self.label, self.place = settings, label, place
        outputs = [self._outputs(image, [(0,) * len(window)] * 2) for image in images]
        self.references = [output[0] for output in outputs]
        floors = [
            self._by_distance(o[0], o[1], (0,) * len(window)).nan_to_num().max() for o in outputs
        ]
        self.rounding = allowance(settings.precision, float(max(floors)))

    def errors(self, axis: int, displacements: Sequence[int]) -> dict[int, Tensor]:
        """For each the largest error of all images at each distance from the border."""
        corners = [
            tuple(k if a == axis else 0 for a in range(len(self.window))) for k in displacements
        ]
        worst: dict[int, Tensor] = {}
        for image, reference in zip(self.images, self.references, strict=True):
            outputs = self._outputs(image, corners)
            for k, corner, output in zip(displacements, corners, outputs, strict=True):
                scale = output.shape[-1] // self.window[-1]
                back = output.roll([n * scale for n in corner], tuple(range(-len(corner), 0)))
                error = self._by_distance(reference, back, tuple(-n for n in corner))
                worst[k] = torch.maximum(worst[k], error) if k in worst else error
        return worst

    def _by_distance(self, reference: Tensor, output: Tensor, element: Size) -> Tensor:
        """Mean squared error at each distance, over the reference's mean square."""
        size = tuple(reference.shape[1:])
        scale = size[-1] // self.window[-1]
        distance = border_distance([k * scale for k in element], size).flatten() // scale
        seen = distance >= 0
        squares = (output - reference).square().mean(dim=0).flatten().cpu()[seen]
        bins = (min(self.window) + 1) // 2
        sums, counts = torch.zeros(2, bins, dtype=torch.float64)
        sums.index_add_(0, distance[seen], squares)
        counts.index_add_(0, distance[seen], torch.ones_like(squares))
        mean_square = reference.square().mean().cpu().clamp(min=torch.finfo(torch.float64).tiny)
        density: Tensor = sums / counts / mean_square  # NaN at distances that there are not
        return density

    def _outputs(self, image: Tensor, corners: Sequence[Size]) -> Tensor:
        """Outputs (n, C', *window) in float64 of windows of an image (1, C, *size)."""
        boxes = [
            tuple(slice(k, k + n) for k, n in zip(corner, self.window, strict=True))
            for corner in corners
        ]
        batch = max(self.settings.batch, len(boxes))
        windows = torch.cat([inside(image, box) for box in boxes])
        each = windows[filled(len(boxes), batch).to(windows.device)]
        return call(self.forward, each, self.label, self.place)[: len(boxes)].to(torch.float64)
