"""Means and quantiles of values that each stand for one or more: one rule for all who need them."""

from collections.abc import Sequence
from math import fsum

import numpy as np
from numpy.typing import NDArray

__all__ = ["exact_sum", "mean", "quantiles"]

_BLOCK = 2**15
"""Values that are added up at a time: they stay in the processor's cache."""

Floats = NDArray[np.float64]


def mean(values: Floats, covers: NDArray[np.int64]) -> float:
    """The exactly rounded mean: however the values are split and ordered, it is one number.

    Args:
        values: (n,).
        covers: (n,), how many each value stands for.
    """
    if not np.isfinite(values).all():
        with np.errstate(invalid="ignore"):  # the mean of ∞ and −∞ is NaN
            return float(values.mean())
    return exact_sum(values * covers) / int(covers.sum())


def exact_sum(values: Floats) -> float:
    """What ``math.fsum`` gives of finite values (n,), ten times as fast.

    The leading bits of some values, cut off at one position for all, are added up without rounding;
    then those that follow, until none are left.

    Source: Rump, Ogita & Oishi 2008, section 3.
    """
    if np.abs(values).max(initial=0.0) > 2.0**1000:
        return fsum(values.tolist())
    found = []
    for first in range(0, len(values), _BLOCK):
        rest = values[first : first + _BLOCK].copy()
        while largest := max(rest.max(), -rest.min()):
            cut = np.ldexp(2.0 * _BLOCK, np.frexp(largest)[1])
            leading = rest + cut
            leading -= cut
            found.append(leading.sum())
            rest -= leading
    return fsum(found)


def quantiles(
    values: Floats, covers: NDArray[np.int64], percents: Sequence[int], higher_is_better: bool
) -> tuple[float, list[float]]:
    """The median, and for each percentage the value that so many are no worse than.

    The median is the mean of the two values in the middle. A quantile is one of the values, the
    first that has at least so many at or before it, counted from the best: none is interpolated.
    All are NaN where a value is.

    Args:
        values: (n,).
        covers: (n,), how many each value stands for.
        percents: whole numbers from 1 to 99.
    """
    if np.isnan(values).any():
        return np.nan, [np.nan] * len(percents)
    total = int(covers.sum())
    positions = [-(-total * percent // 100) - 1 for percent in percents]
    ranks = [total - 1 - position if higher_is_better else position for position in positions]
    ranks += [(total - 1) // 2, total // 2]
    if len(values) == total:
        # one by one: NumPy has vector instructions for that alone
        found = [float(np.partition(values, rank)[rank]) for rank in ranks]
    else:
        order = np.argsort(values, kind="stable")
        found = values[order[np.searchsorted(np.cumsum(covers[order]), ranks, "right")]].tolist()
    *asked, low, high = found
    with np.errstate(invalid="ignore"):  # between ∞ and −∞ there is none
        return float(np.mean([low, high])), asked
