"""Another scale and offset of an image's values, and the same expected of the output's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from equibench.errors import UsageError
from equibench.registry.registries import register_transform
from equibench.transforms.transform import Elements, Size, Transform

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Intensity"]


@register_transform("intensity")
class Intensity(Transform):
    """x → a·x + b, with the output expected as a·y + b.

    Args:
        a: factors, several with a slash between them: 0.5/2; none is zero.
        b: offsets in the units of the input, likewise.
    """

    name = label = "intensity"
    group = True

    def __init__(self, a: float | str = "0.5/2", b: float | str = 0.0) -> None:
        self.a, self.b = _numbers("a", a), _numbers("b", b)
        if 0 in self.a:
            raise UsageError("intensity: a=0 leaves nothing of an image: take another factor")
        if not len(self._pairs()):
            raise UsageError("intensity: a=1 with b=0 changes nothing: take another a or b")

    def _pairs(self) -> Elements:
        pairs = [pair for pair in product(self.a, self.b) if pair != (1.0, 0.0)]
        return np.array(pairs, dtype=np.float64)

    def count(self, axes: int = 2) -> int:
        return len(self._pairs())

    def numbers(self, size: Size) -> int:
        return 2

    def identity(self, size: Size) -> Sequence[float]:
        return (1.0, 0.0)

    def elements(self, seed: int, suite: str, case: str, size: Size) -> Elements:
        return self._pairs()

    def shifts(self, elements: Elements) -> None:
        return None

    def element(self, element: Sequence[float]) -> str:
        a, b = element
        return f"{a:g}·x" if not b else f"{a:g}·x {'+' if b > 0 else '−'} {abs(b):g}"

    def move(self, image: Tensor, element: Sequence[float]) -> Tensor:
        a, b = element
        return image * a + b

    def undo(self, output: Tensor, element: Sequence[float], size: Size) -> Tensor:
        a, b = element
        return (output.double() - b) / a

    def compose(self, last: Sequence[float], first: Sequence[float], size: Size) -> Sequence[float]:
        return (last[0] * first[0], last[0] * first[1] + last[1])


def _numbers(name: str, text: float | str) -> tuple[float, ...]:
    try:
        values = tuple(dict.fromkeys(float(part) for part in str(text).split("/")))
    except ValueError:
        values = ()
    if not values or not np.isfinite(values).all():
        raise UsageError(f"intensity: {name}={text} is no number, nor several: write {name}=0.5/2")
    return values
