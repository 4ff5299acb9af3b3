"""Circular shifts of images by whole pixels, and of outputs back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from equibench.foundation.lazy_imports import Lazy
from equibench.registry.registries import register_transform
from equibench.transforms.shift_plans import ShiftPlan, Shifts
from equibench.transforms.transform import CIRCULAR, Size, Transform

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")

__all__ = ["Circular", "align", "roll"]


def roll(images: Tensor, shifts: Tensor) -> Tensor:
    """Shift every image of (B, C, *size) circularly by its own of shifts (B, axes).

    Shifts on the CPU go to a GPU from pinned memory, and nobody waits for it.
    """
    axes = shifts.shape[1]
    if images.device.type == "cpu":
        pairs = zip(images, shifts.tolist(), strict=True)
        rolled = [image.roll(shift, tuple(range(-axes, 0))) for image, shift in pairs]
        return rolled[0][None] if len(rolled) == 1 else torch.stack(rolled)
    batch, channels, *size = images.shape
    if shifts.device.type == "cpu" and images.device.type == "cuda":
        shifts = shifts.pin_memory()
    shifts = shifts.to(images.device, non_blocking=True)
    index = torch.zeros(batch, *(1 for _ in size), dtype=torch.int64, device=images.device)
    for axis, n in enumerate(size):
        position = (torch.arange(n, device=images.device) - shifts[:, axis, None]) % n
        ones = [1] * (axes - 1)
        index = index * n + position.reshape(batch, *ones[:axis], n, *ones[axis:])
    flat = images.reshape(batch, channels, -1)
    return flat.gather(2, index.reshape(batch, 1, -1).expand(-1, channels, -1)).reshape(
        images.shape
    )


def align(outputs: Tensor, shifts: Tensor, images: Tensor) -> Tensor:
    """Roll the outputs of rolled images back.

    Args:
        outputs: (B, C', *size), s times the size of the images; s is 1 but for super-resolution.
        shifts: (B, axes), by which the images were rolled.
        images: (B, C, *size).
    """
    return roll(outputs, -(shifts * outputs.shape[-1] // images.shape[-1]))


@register_transform(CIRCULAR, summary="circular shifts by whole pixels")
@dataclass
class Circular(Transform):
    """Circular shifts by whole pixels, which isolate what sampling does.

    Args:
        plan: which ones.
    """

    plan: ShiftPlan

    name = label = CIRCULAR
    lossless = group = framed = True

    @property
    def seeded(self) -> bool:
        return self.plan.seeded

    def elements(self, seed: int, suite: str, case: str, size: Size) -> Shifts:
        return self.plan.shifts(seed, suite, case, size)

    def count(self, axes: int = 2) -> int | None:
        return self.plan.count(axes)

    def covers(self, size: Size) -> int:
        return self.plan.covers(size)

    @property
    def evidence(self) -> str:
        return self.plan.evidence

    def move(self, image: Tensor, element: Sequence[float]) -> Tensor:
        return image.roll([int(k) for k in element], tuple(range(-len(element), 0)))

    def undo(self, output: Tensor, element: Sequence[float], size: Size) -> Tensor:
        return self.move(output, [-(k * output.shape[-1] // size[-1]) for k in element])

    def compose(self, last: Sequence[float], first: Sequence[float], size: Size) -> Sequence[float]:
        return [a + b for a, b in zip(last, first, strict=True)]

    def apply(self, images: Sequence[Tensor], elements: Tensor) -> Tensor:
        return roll(torch.stack(list(images)), elements)

    def align(self, outputs: Tensor, elements: Tensor, size: Size) -> Tensor:
        return roll(outputs, -(elements * outputs.shape[-1] // size[-1]))

    def corners(self, elements: Tensor, scale: int) -> Tensor:
        return -elements * scale
