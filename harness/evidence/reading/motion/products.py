"""Products of factors: what becomes of them where tensors are reshaped, or meet one another."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import gcd

from equibench.evidence.reading.motion.factors import (
    Breaks,
    Dim,
    Factor,
    Images,
    Lattice,
    Moving,
    Still,
)

__all__ = ["joined", "normal", "regrouped"]


def normal(dim: Iterable[Factor]) -> Dim:
    """Neighbours that can be one factor are one; none has a size of 1, unless it moves."""
    out: list[Factor] = []
    for factor in dim:
        if isinstance(factor, Still):
            if factor.size == 1:
                continue
            last = out[-1] if out else None
            if isinstance(last, Still):
                out[-1] = Still(last.size * factor.size, last.even and factor.even)
                continue
            if isinstance(last, Moving):
                out[-1] = last.finer(factor.size)
                continue
        elif isinstance(factor, Images) and factor.size == 1:
            continue
        out.append(factor)
    return tuple(out)


def _parted(factor: Factor, outer: int, lattice: Lattice) -> tuple[Factor, Factor]:
    coarse, inner = factor.split(outer)
    if isinstance(coarse, Moving):
        lattice.require(coarse.axis, coarse.stride)
    return coarse, inner


def regrouped(dims: Iterable[Dim], shape: Sequence[int], lattice: Lattice) -> tuple[Dim, ...]:
    """The factors of a tensor that is reshaped.

    Raises:
        Breaks: what moves is parted where it cannot be.
    """
    rest = [factor for dim in dims for factor in dim][::-1]
    out: list[Dim] = []
    for size in shape:
        taken: list[Factor] = []
        left = size
        while left > 1 or (rest and rest[-1].size == 1 and not taken):
            factor = rest.pop()
            if left % factor.size == 0:
                taken.append(factor)
                left //= factor.size
            elif factor.size % left == 0:
                outer, inner = _parted(factor, left, lattice)
                taken.append(outer)
                rest.append(inner)
                left = 1
            elif isinstance(factor, Still) and rest and isinstance(rest[-1], Still):
                other = rest.pop()
                assert isinstance(other, Still)
                rest.append(Still(factor.size * other.size, factor.even and other.even))
            else:
                common = gcd(left, factor.size)
                if common == 1:
                    moving = [f for f in (factor, *rest) if isinstance(f, Moving)]
                    raise Breaks("reshapes a map across its rows", [f.axis for f in moving])
                outer, inner = _parted(factor, common, lattice)
                rest += [inner, outer]
        out.append(normal(taken))
    if rest:
        out[-1] = normal((*out[-1], *rest[::-1]))
    return tuple(out)


def joined(first: Dim, second: Dim, lattice: Lattice) -> Dim:
    """One dimension of two tensors that meet element by element.

    Raises:
        Breaks: one moves where the other does not, or does otherwise.
    """
    a, b, out = list(first)[::-1], list(second)[::-1], list[Factor]()
    while a and b:
        left, right = a.pop(), b.pop()
        if left.size > right.size:
            left, rest = _fitted(left, right.size, lattice)
            a.append(rest)
        elif right.size > left.size:
            right, rest = _fitted(right, left.size, lattice)
            b.append(rest)
        out.append(_met(left, right))
    return normal((*out, *a[::-1], *b[::-1]))


def _fitted(factor: Factor, outer: int, lattice: Lattice) -> tuple[Factor, Factor]:
    if factor.size % outer:
        axes = [factor.axis] if isinstance(factor, Moving) else []
        raise Breaks("joins maps whose rows do not match", axes)
    return _parted(factor, outer, lattice)


def _met(left: Factor, right: Factor) -> Factor:
    if isinstance(left, Still) and isinstance(right, Still):
        return Still(left.size, left.even and right.even)
    if isinstance(left, Still) and left.even:
        return right
    if isinstance(right, Still) and right.even:
        return left
    axes = [factor.axis for factor in (left, right) if isinstance(factor, Moving)]
    if isinstance(left, Moving) and isinstance(right, Moving):
        one = (left.axis, left.stride, left.period)
        if one != (right.axis, right.stride, right.period):
            raise Breaks("joins maps that move differently", axes)
        blames = [f.blame for f in (left, right) if f.blame is not None]
        return replace(
            left,
            before=max(left.before, right.before),
            after=max(left.after, right.after),
            blame=blames[0] if blames else None,
        )
    if isinstance(left, Images) and isinstance(right, Images):
        return left
    if axes:
        raise Breaks("joins a map that moves with one that stays in place", axes)
    raise Breaks("joins the images of a batch with something else")
