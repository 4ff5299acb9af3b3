"""Tiled inference: a network's output for a tile beside that tile of its output for the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from equibench.errors import UsageError
from equibench.foundation.lazy_imports import Lazy
from equibench.registry.registries import register_transform
from equibench.transforms.transform import Elements, Region, Size, Transform, inside

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")

__all__ = ["Tile"]


@register_transform("tile")
@dataclass
class Tile(Transform):
    """Tiled inference: G of a tile beside the same tile of G of the whole image.

    Args:
        size: the tile's side in pixels; an axis that is shorter is one tile.
        overlap: pixels that neighbouring tiles share.
        margin: pixels left out along the borders of a tile that are not the image's; half of
            what tiles share where it is below zero.
        offset: of the first tile from the image's corner, in pixels.
    """

    size: int = 64
    overlap: int = 0
    margin: int = -1
    offset: int = 0

    name = label = "tile"
    lossless = True

    def __post_init__(self) -> None:
        if self.size < 1 or self.overlap < 0 or self.offset < 0:
            raise UsageError("tile: size, overlap and offset are pixels, and a size at least 1")
        if self.overlap >= self.size:
            raise UsageError(
                f"tile: an overlap of {self.overlap} leaves no step to the next tile of "
                f"{self.size}: take overlap={self.size // 2} or less"
            )
        if 2 * self.inside >= self.size:
            raise UsageError(
                f"tile: a margin of {self.inside} leaves nothing of a tile of {self.size}: take "
                f"margin={(self.size - 1) // 2} or less, or a larger size"
            )

    @property
    def inside(self) -> int:
        """Pixels left out along the borders of a tile."""
        return self.overlap // 2 if self.margin < 0 else self.margin

    def elements(self, seed: int, suite: str, case: str, size: Size) -> Elements:
        axes = []
        for n in size:
            last = n - min(self.size, n)
            starts = {*range(min(self.offset, last), last + 1, self.size - self.overlap), last}
            axes.append(sorted(starts))
        return np.array(list(product(*axes)), dtype=np.int64)

    def identity(self, size: Size) -> Sequence[float]:
        return (-1,) * len(size)  # the whole image

    def shifts(self, elements: Elements) -> None:
        return None

    def element(self, element: Sequence[float]) -> str:
        if min(element) < 0:
            return "whole"
        return f"tile at ({', '.join(str(int(k)) for k in element)})"

    def moved_size(self, element: Sequence[float], size: Size) -> Size:
        return size if min(element) < 0 else tuple(min(self.size, n) for n in size)

    def move(self, image: Tensor, element: Sequence[float]) -> Tensor:
        return inside(image, self._box(element, tuple(image.shape[1:]), 0)).contiguous()

    def undo(self, output: Tensor, element: Sequence[float], size: Size) -> Tensor:
        scale = output.shape[-1] // self.moved_size(element, size)[-1]
        box = self._box(element, size, 0)
        around = [
            side * scale
            for each, n in reversed(list(zip(box, size, strict=True)))
            for side in (each.start, n - each.stop)
        ]
        return torch.nn.functional.pad(output, around)

    def region(self, element: Sequence[float], size: Size) -> Region:
        return self._box(element, size, 0 if min(element) < 0 else self.inside)

    def _box(self, element: Sequence[float], size: Size, margin: int) -> Region:
        """A tile, or what is ``margin`` pixels inside its borders that are not the image's."""
        if min(element) < 0:
            return tuple(slice(0, n) for n in size)
        return tuple(
            slice(
                int(k) + (margin if k > 0 else 0),
                int(k) + min(self.size, n) - (margin if k + min(self.size, n) < n else 0),
            )
            for k, n in zip(element, size, strict=True)
        )
