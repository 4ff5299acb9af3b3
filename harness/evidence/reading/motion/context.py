"""What a transfer rule is given beside its operands, and how constants meet what moves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Any

import torch
from torch import Tensor, fx

from equibench.evidence.reading.motion.factors import (
    Blame,
    Breaks,
    Dim,
    Images,
    Lattice,
    Moving,
    Still,
    Value,
    size_of,
)
from equibench.evidence.reading.motion.products import joined, regrouped

__all__ = ["Context", "Operand", "divisors", "flat_tensors"]

Operand = Value | Tensor | int | float | bool


@dataclass
class Context:
    """One operator of the graph.

    Args:
        lattice: of the shifts that are claimed to commute.
        shapes: of what the operator returns.
        notes: phrases for the certificate.
    """

    node: fx.Node
    lattice: Lattice
    shapes: tuple[tuple[int, ...], ...]
    notes: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[0]

    def blame(self, reason: str) -> Blame:
        return Blame(self.node, reason)

    def broadcast(self, operands: Sequence[Operand]) -> Value:
        """Operands that meet element by element, each at its own shape.

        Raises:
            Breaks: they do not move alike, or a constant varies along what moves.
        """
        values = [o for o in operands if isinstance(o, Value)]
        rank = max(_rank(o) for o in operands)
        dims: list[Dim] = [()] * rank
        for value in values:
            aligned = ((),) * (rank - len(value.dims)) + value.dims
            for i, dim in enumerate(aligned):
                dims[i] = self.met(dims[i], dim)
        for constant in (o for o in operands if isinstance(o, Tensor)):
            dims = self.admitted(constant, dims)
        return Value(tuple(dims))

    def met(self, first: Dim, second: Dim) -> Dim:
        """One dimension of two operands, where a size of 1 fits any other."""
        for one, other in ((first, second), (second, first)):
            if size_of(one) == 1 and size_of(other) != 1:
                axes = [f.axis for f in one if isinstance(f, Moving)]
                if axes:
                    raise Breaks("spreads one sample of a map over a whole dimension", axes)
                return other
        if not first or not second:
            return first or second
        return joined(first, second, self.lattice)

    def admitted(self, constant: Tensor, dims: Sequence[Dim]) -> list[Dim]:
        """Dimensions after a constant has met them.

        Raises:
            Breaks: no shift but whole turns maps the constant onto itself.
        """
        out = list(dims)
        first = len(out) - constant.ndim
        varying: list[int] = []
        for d, size in enumerate(constant.shape):
            if size == 1:
                continue
            even = bool((constant == constant.narrow(d, 0, 1)).all())
            if size_of(out[first + d]) == 1:
                if any(isinstance(f, Moving) for f in out[first + d]):
                    axes = [f.axis for f in out[first + d] if isinstance(f, Moving)]
                    raise Breaks("spreads one sample of a map over a whole dimension", axes)
                out[first + d] = (Still(size, even),)
            elif not even:
                varying.append(d)
        if varying:
            for d in set(range(constant.ndim)) - set(varying):
                constant = constant.narrow(d, 0, 1)
            self._commute(
                constant, [out[first + d] if d in varying else () for d in range(constant.ndim)]
            )
            for d in varying:
                out[first + d] = tuple(
                    Still(f.size) if isinstance(f, Still) else f for f in out[first + d]
                )
        return out

    def _commute(self, constant: Tensor, dims: Sequence[Dim]) -> None:
        """Ask for shifts that move a constant onto itself, all its dimensions at once."""
        factors = [f for dim in dims for f in (dim or (Still(1),))]
        parted = constant.reshape([f.size for f in factors])
        for d, factor in enumerate(factors):
            if isinstance(factor, Images) and not _even(parted, d):
                raise Breaks("meets a constant that differs between the images of a batch")
        moving = [(d, f) for d, f in enumerate(factors) if isinstance(f, Moving)]
        for axis in dict.fromkeys(f.axis for _, f in moving):
            own = [(d, f) for d, f in moving if f.axis is axis and not _even(parted, d)]
            if not own:
                continue
            step = reduce(lcm, (abs(f.stride).numerator for _, f in own), 1)
            for turns in divisors(axis.size // step):
                pixels = step * turns
                if pixels == axis.size:
                    raise Breaks("meets a constant that varies in space", [axis])
                if _fixed(parted, own, pixels):
                    self.lattice.require(axis, Fraction(pixels))
                    break

    def pointwise(self, dim: Dim, what: str) -> None:
        """That a dimension has nothing that moves, nor images.

        Raises:
            Breaks: it has.
        """
        axes = [f.axis for f in dim if isinstance(f, Moving)]
        if axes or any(isinstance(f, Images) for f in dim):
            raise Breaks(what, axes)

    def summed(self, dims: Iterable[Dim], what: str = "reduces over") -> None:
        """That dimensions can be reduced over: whole turns, whose order does not matter.

        Raises:
            Breaks: a part of a map only, or the images of a batch.
        """
        for factor in (f for dim in dims for f in dim):
            if isinstance(factor, Images):
                raise Breaks(f"{what} the images of a batch")
            if isinstance(factor, Moving) and not factor.whole:
                if factor.spoiled:
                    raise factor.broken()
                raise Breaks(f"{what} a part of a map", [factor.axis])

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        return Value(regrouped(value.dims, shape, self.lattice), choice=value.choice)


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def _rank(operand: Operand) -> int:
    if isinstance(operand, Value):
        return len(operand.dims)
    return operand.ndim if isinstance(operand, Tensor) else 0


def _even(tensor: Tensor, dim: int) -> bool:
    return bool((tensor == tensor.narrow(dim, 0, 1)).all())


def _fixed(constant: Tensor, own: Sequence[tuple[int, Moving]], pixels: int) -> bool:
    """Whether a shift by so many pixels maps a constant onto itself."""
    moved = constant
    for dim, factor in own:
        shift = int(Fraction(pixels) / factor.stride)
        if factor.size == factor.period:
            moved = torch.roll(moved, shift, dim)
        else:  # a window: repeats within it, whatever the other dimensions do
            n = abs(shift) % factor.period or factor.period
            rest = max(0, factor.size - n)
            here, there = (
                constant.narrow(dim, 0, rest),
                constant.narrow(dim, factor.size - rest, rest),
            )
            if factor.period % n or not bool((here == there).all()):
                return False
    return bool((moved == constant).all())


def flat_tensors(arguments: Any) -> list[Any]:
    """Tensors and values among arguments, lists opened, in order."""
    found: list[Any] = []
    for argument in arguments:
        if isinstance(argument, list | tuple):
            found += flat_tensors(argument)
        elif isinstance(argument, Tensor | Value):
            found.append(argument)
    return found
