"""Confidence intervals of means over clusters, by bootstrap.

How often a resample has each cluster depends on the number of clusters alone: columns, models and
suites of as many clusters are resampled alike, and one matrix product serves many columns.
"""

from functools import lru_cache
from math import ceil, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from equibench.foundation.seeds import generator

__all__ = ["intervals"]

RESAMPLES = 2000

_DRAWN = 2**18
"""Clusters that are drawn at a time: memory does not grow with their number."""

_PRODUCT = 2**18
"""Multiplications at a time."""

_PARTS = 3
"""Whole numbers that a sum is split into: together they have 100 bits and more."""

Floats = NDArray[np.float64]


def intervals(sums: Floats, counts: Floats) -> Floats:
    """95 % bootstrap intervals (K, 2) of means over clusters; NaN for fewer than two.

    Percentiles of a bootstrap are too narrow by what the t distribution and n − 1 make of a
    standard error: the level is expanded by as much.

    Args:
        sums: (n, K) of the values in each cluster; a column that is not finite has no interval.
        counts: (n,) of what was added up.

    Source: Hesterberg 2015, section 5.
    """
    n = len(sums)
    found = np.full((sums.shape[1], 2), np.nan)
    if n < 2:
        return found
    means = sums / counts[:, None]
    finite = np.isfinite(means).all(axis=0)
    found[finite] = means[0, finite, None]
    varied = np.flatnonzero(finite)[np.ptp(means[:, finite], axis=0) > 0]
    if len(varied):
        total = _resampled(np.column_stack((counts, sums[:, varied])))
        tail = ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.025))
        found[varied] = np.quantile(total[:, 1:] / total[:, :1], (tail, 1 - tail), axis=0).T
    return found


def _resampled(values: Floats) -> Floats:
    """The sums (RESAMPLES, K) of resamples of values (n, K).

    Values are split into whole numbers so small that no sum of n of them is rounded: neither the
    threads nor the order of a matrix product change a bit.

    Source: Ozaki et al. 2012.
    """
    n = len(values)
    bits = 52 - ceil(log2(n))
    exponents = np.frexp(np.abs(values).max(axis=0))[1]
    parts, rest = [], np.ldexp(values, bits - exponents)
    for _ in range(_PARTS):
        parts.append(np.rint(rest))
        rest = np.ldexp(rest - parts[-1], bits)
    split = np.hstack(parts)
    step = max(1, _DRAWN // n)
    firsts = range(0, RESAMPLES, step)
    sums = np.vstack([_product(_drawn(n, first, step), split) for first in firsts])
    total = np.zeros((RESAMPLES, values.shape[1]))
    for part in reversed(np.split(sums, _PARTS, axis=1)):
        total = np.ldexp(total, -bits) + part
    return np.ldexp(total, exponents - bits)


def _product(drawn: NDArray[Any], split: Floats) -> Floats:
    """A few lines at a time: for so little BLAS wakes no threads, which take turns with others."""
    few = max(1, _PRODUCT // split.size)
    lines = range(0, len(drawn), few)
    return np.vstack([drawn[line : line + few].astype(np.float64) @ split for line in lines])


@lru_cache(maxsize=128)
def _drawn(n: int, first: int, step: int) -> NDArray[Any]:
    """How often each of some resamples has each of n clusters (at most ``step``, n)."""
    number = min(step, RESAMPLES - first)
    random = generator("bootstrap", n, first)
    drawn = random.integers(n, size=(number, n)) + n * np.arange(number)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=number * n).reshape(number, n)
    return counts.astype(np.min_scalar_type(counts.max()))
