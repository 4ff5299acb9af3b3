"""Rotations by 90° and flips, strictly and up to a shift of the sampling grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from equibench.errors import UsageError
from equibench.registry.registries import register_transform
from equibench.transforms.transform import Elements, Size, Transform

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

__all__ = ["GRID_NMSE", "QuarterTurns"]

GRID_NMSE = "grid_nmse"
"""The column of the smallest NMSE over shifts of the sampling grid."""

_ROT90 = 4
"""Elements are 4·flip + quarter turns: first flipped left to right, then turned to the left."""

_NAMES = (
    *("identity", "rot90", "rot180", "rot270"),
    *("flip left-right", "transpose", "flip up-down", "anti-transpose"),
)


@register_transform("d4")
@dataclass
class QuarterTurns(Transform):
    """Rotations by 90° and flips, all seven; images that are not square swap height and width.

    A network of total stride s can commute with them strictly, or only once the moved image is
    shifted circularly by less than s pixels, so that its sampling grid lies where it lay. The
    first is the error of a row, the second, the least over such shifts, its ``grid_nmse``.

    Args:
        grid: shifts below so many pixels along each axis; 1 for none.
    """

    grid: int = 2

    name = label = "d4"
    lossless = True
    group = True
    columns = (GRID_NMSE,)

    def __post_init__(self) -> None:
        if not 1 <= self.grid <= 64:
            raise UsageError(f"d4: grid={self.grid} is not from 1 to 64, a network's total stride")

    def count(self, axes: int = 2) -> int:
        return 7 * self.grid**2

    def numbers(self, size: Size) -> int:
        return 3

    def elements(self, seed: int, suite: str, case: str, size: Size) -> Elements:
        _two(size)
        shifts = list(product(range(self.grid), repeat=2))
        return np.array([(g, *k) for k in shifts for g in range(1, 8)], dtype=np.int64)

    def shifts(self, elements: Elements) -> None:
        return None

    def element(self, element: Sequence[float]) -> str:
        g, dy, dx = (int(k) for k in element)
        return _NAMES[g] + (f" + ({dy}, {dx})" if dy or dx else "")

    def moved_size(self, element: Sequence[float], size: Size) -> Size:
        return size[::-1] if element[0] % 2 else size

    def move(self, image: Tensor, element: Sequence[float]) -> Tensor:
        g, dy, dx = (int(k) for k in element)
        flipped = image.flip(-1) if g >= _ROT90 else image
        return flipped.rot90(g % _ROT90, (-2, -1)).roll((dy, dx), (-2, -1)).contiguous()

    def undo(self, output: Tensor, element: Sequence[float], size: Size) -> Tensor:
        g, dy, dx = (int(k) for k in element)
        scale = output.shape[-1] // self.moved_size(element, size)[-1]
        turned = output.roll((-dy * scale, -dx * scale), (-2, -1)).rot90(-(g % _ROT90), (-2, -1))
        return (turned.flip(-1) if g >= _ROT90 else turned).contiguous()

    def compose(self, last: Sequence[float], first: Sequence[float], size: Size) -> Sequence[float]:
        (g, y, x), (h, dy, dx) = ([int(n) for n in each] for each in (last, first))
        # a flip turns around the turns before it, and the shift
        turns = g % _ROT90 + (-h if g >= _ROT90 else h) % _ROT90
        dx = -dx if g >= _ROT90 else dx
        for _ in range(g % _ROT90):
            dy, dx = -dx, dy
        both = turns % _ROT90 + _ROT90 * ((g >= _ROT90) != (h >= _ROT90))
        return (both, y + dy, x + dx)

    def settle(self, rows: pd.DataFrame) -> pd.DataFrame:
        """One row for each rotation and flip, with the least error over the shifts of its grid."""
        own = rows["element"].str.split(" + (", n=1, regex=False).str[0]
        keys = [rows[name] for name in ("model", "suite", "case")]
        least = rows.groupby([*keys, own], sort=False)["eq_nmse"].transform("min")
        return rows.assign(grid_nmse=least)[rows["element"] == own].reset_index(drop=True)


def _two(size: Size) -> None:
    if len(size) != 2:
        raise UsageError(
            f"d4 turns images (B, C, H, W), and these have {len(size)} axes in space: leave "
            "--transform d4 out for them"
        )
