"""Inner values that can be moved in the place of being computed once more."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from equibench.evidence.reading.motion.factors import Axis, Images, Moving, Still, Value
from equibench.transforms.transform import Size

__all__ = ["Movable"]


@dataclass(frozen=True)
class Movable:
    """How the value of one image moves.

    Args:
        along: for each axis of the input the dimension of the value, without that of images, and
            pixels per sample; None along which it is the same wherever the input is.
    """

    along: tuple[tuple[int, int] | None, ...]

    @classmethod
    def of(cls, value: Value, axes: Sequence[Axis], batch: int) -> "Movable | None":
        """None where samples of images, axes or windows are mixed within a dimension."""
        first, *rest = value.dims or ((),)
        if first != (Images(batch),):
            return None
        found: dict[Axis, tuple[int, int]] = {}
        for dimension, factors in enumerate(rest):
            if all(isinstance(factor, Still) for factor in factors):
                continue
            (factor, *more) = factors
            if more or not isinstance(factor, Moving) or factor.axis in found:
                return None
            whole = factor.size == factor.period and not factor.spoiled
            if not whole or factor.axis not in axes or factor.stride.denominator != 1:
                return None
            found[factor.axis] = dimension, factor.stride.numerator
        return cls(tuple(found.get(axis) for axis in axes))

    def fits(self, lattice: Size) -> bool:
        """Whether shifts on a lattice move it by whole samples."""
        return all(m is None or n % m[1] == 0 for m, n in zip(self.along, lattice, strict=True))

    def moved(self, value: Tensor, pixels: Sequence[int]) -> Tensor:
        """The value of one image, (C, …), as it is where the input moves by so many pixels."""
        moves = [(m[0], p // m[1]) for m, p in zip(self.along, pixels, strict=True) if m and p]
        if not moves:
            return value
        dimensions, samples = zip(*moves, strict=True)
        return value.roll(samples, dimensions)
