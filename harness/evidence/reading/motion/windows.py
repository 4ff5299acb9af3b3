"""What becomes of a window on a moving sequence: sliding kernels, picked samples, resampling."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd

import numpy as np
from numpy.typing import NDArray

from equibench.evidence.reading.motion.factors import Blame, Breaks, Lattice, Moving

__all__ = ["padded", "picked", "resampled", "scattered", "slid", "wrapped"]

Ints = NDArray[np.int64]


def padded(factor: Moving, before: int, after: int, blame: Blame) -> Moving:
    """Samples added at its ends that do not move (negative ones are cropped away)."""
    if not before and not after:
        return factor
    size = factor.size + before + after
    return factor.with_ends(size, factor.before + before, factor.after + after, blame)


def wrapped(factor: Moving, before: int, after: int) -> Moving:
    """Samples added at its ends from its other end.

    Raises:
        Breaks: it is not one whole turn.
    """
    if before <= 0 and after <= 0:
        cause = factor.blame or Blame(None, "")  # type: ignore[arg-type]
        return padded(factor, before, after, cause)
    if factor.spoiled:
        raise factor.broken()
    if factor.size != factor.period:
        raise Breaks(
            f"wraps {factor.size} samples around, but a turn is {factor.period}", [factor.axis]
        )
    return replace(factor, size=factor.size + before + after)


def coarser(factor: Moving, step: int, lattice: Lattice) -> Moving:
    """Every step-th sample of the sequence (against it if negative).

    Raises:
        Breaks: the period is no multiple of the step.
    """
    if factor.period % step:
        raise Breaks(
            f"takes every {abs(step)} of a map of {factor.period}, which it does not divide",
            [factor.axis],
        )
    found = replace(factor, stride=factor.stride * step, period=factor.period // abs(step))
    lattice.require(factor.axis, found.stride)
    return found


def slid(
    factor: Moving, reach: int, step: int, size: int, blame: Blame, lattice: Lattice
) -> Moving:
    """A kernel that covers ``reach`` samples, moved by ``step``, placed ``size`` times."""
    last = (factor.size - factor.after - reach) // step  # the last that no spoiled sample is under
    found = coarser(factor, step, lattice)
    return found.with_ends(size, -(-factor.before // step), size - 1 - last, blame)


def scattered(factor: Moving, reach: int, step: int, skip: int, size: int, blame: Blame) -> Moving:
    """Every sample spread over ``reach`` others at ``step`` times its place, ``skip`` cut off."""
    fine = replace(factor, stride=factor.stride / step, period=factor.period * step)
    before = step * (factor.before - 1) + reach - skip
    after = size - (step * (factor.size - factor.after) - skip)
    return fine.with_ends(size, before, after, blame)


def picked(factor: Moving, places: Ints, lattice: Lattice) -> Moving:
    """Samples at some places of a window, in that order, which must repeat itself.

    Raises:
        Breaks: it does not.
    """
    n, count = factor.period, len(places)
    span = next(p for p in range(1, count + 1) if _repeats(places, p, n))
    advance = int(places[span] - places[0]) % n if span < count else 0
    advance = advance - n if advance > n // 2 else advance
    if span == count:  # nothing repeats: a window of its own
        advance, span = (1, 1) if count == 1 else (0, span)
    if advance == 0 or n % advance:
        raise Breaks("picks samples at places that do not move", [factor.axis])
    found = replace(
        factor, stride=factor.stride * Fraction(advance, span), period=n // abs(advance) * span
    )
    lattice.require(factor.axis, factor.stride * advance)
    good = (places >= factor.before) & (places < factor.size - factor.after)
    return _with_good(found, good, factor)


def _repeats(places: Ints, span: int, period: int) -> bool:
    steps = (places[span:] - places[:-span]) % period
    return bool((steps == steps[:1]).all())


def resampled(
    factor: Moving, weights: NDArray[np.float64], blame: Blame, lattice: Lattice
) -> Moving:
    """A linear map of a window, (size out, size in), that repeats itself but for its ends.

    Raises:
        Breaks: it repeats itself nowhere.
    """
    count, size = weights.shape
    if ((weights != 0).sum(axis=1) == 1).all() and (weights.sum(axis=1) == 1).all():
        return picked(factor, weights.argmax(axis=1), lattice)
    common = gcd(count, size)
    span, advance = count // common, size // common
    if factor.period % advance or count < 3 * span:
        raise Breaks(
            f"resamples {size} samples to {count}, and a turn of {factor.period} does not fit",
            [factor.axis],
        )
    first = (count // 2 // span) * span
    good = np.zeros(count, dtype=bool)
    templates = {i: _support(weights[first + i]) for i in range(span)}
    for i in range(count):
        turn, phase = divmod(i - first, span)
        where, values = templates[phase]
        here, there = _support(weights[i])
        moved = where + turn * advance
        good[i] = (
            len(here) == len(moved)
            and bool((here == moved).all())
            and bool(np.allclose(there, values, rtol=0, atol=1e-9))
            and bool(len(here))
            and here[0] >= factor.before
            and here[-1] < factor.size - factor.after
        )
    found = replace(
        factor,
        stride=factor.stride * Fraction(advance, span),
        period=factor.period // advance * span,
    )
    lattice.require(factor.axis, factor.stride * advance)
    return _with_good(found, good, factor, blame)


def _support(row: NDArray[np.float64]) -> tuple[Ints, NDArray[np.float64]]:
    (where,) = np.nonzero(row)
    return where, row[where]


def _with_good(
    found: Moving, good: NDArray[np.bool_], factor: Moving, blame: Blame | None = None
) -> Moving:
    """A window whose good samples are known; bad ones may only be at its ends."""
    (where,) = np.nonzero(good)
    if not len(where) or not good[where[0] : where[-1] + 1].all():
        raise factor.broken(blame)
    cause = factor.blame if factor.spoiled or blame is None else blame
    if good.all():
        return replace(found, size=len(good), before=0, after=0, blame=None)
    assert cause is not None
    bare = replace(found, before=factor.before, after=factor.after)
    return bare.with_ends(len(good), int(where[0]), len(good) - 1 - int(where[-1]), cause)


def continued(windows: Sequence[tuple[Moving, int]]) -> Moving | None:
    """Windows on one sequence, with their first samples, that continue each other, as one."""
    first, start = windows[0]
    end = start + first.size
    for window, begin in windows[1:]:
        one = (window.axis, window.stride, window.period, window.spoiled)
        if one != (first.axis, first.stride, first.period, False):
            return None
        if (begin - end) % first.period:
            return None
        end += window.size
    return None if first.spoiled else replace(first, size=end - start)
