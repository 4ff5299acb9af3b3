"""Confidence intervals of means over clusters: Student's t, calibrated for skewness.

Errors are not negative and skewed: a few clusters make most of a mean, and a bootstrap of eight of
them cannot know of those that it has not seen. So the pivot T = log(m / μ) · m / s, with the mean m
and its standard error s, is given the quantiles that it has for samples of as many clusters of a
lognormal population with the spread of these. Where only some clusters carry the mean (rare flips
of an adaptive network, the others being rounding), so do only some of those that are drawn. For
little spread T is Student's t; for many clusters it is normal, whatever the population.

Source: Efron & Tibshirani 1993, chapter 12 (bootstrap t, transformed), with a parametric bootstrap;
the simulation in ``docs/measurement.md`` says what the intervals cover.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, isfinite, log, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv

from equibench.foundation.seeds import generator

__all__ = ["CARRIERS", "FEWEST", "Interval", "interval"]

FEWEST = 8
"""Clusters, below which no interval is given."""

CARRIERS = 5
"""Clusters that must carry a mean: of fewer, no spread is known."""

_TAILS = (0.025, 0.975)
_CHOSEN = 0.05
"""How often the lower bound may be wrong because only samples with enough carriers have one."""

_NEGLIGIBLE = 1e-4
"""A cluster that is so much smaller than the mean does not carry it."""

_SPREADS = (0.01, 8.0)
"""Of logarithms: below, T is Student's t; above, float32 ends."""

_STEP = 1.02
"""Spreads are rounded up to steps of two per cent: models that are alike are simulated once."""

_SAMPLES, _DRAWN = 2000, 2**17
"""At least so many samples are drawn, and so many clusters at a time."""

Floats = NDArray[np.float64]
Drawn = NDArray[np.float32]


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, or the reason why there is none."""

    low: float = nan
    high: float = nan
    reason: str = ""


def interval(
    sums: Floats, counts: Floats, *, best: float = 0.0, beyond: NDArray[np.bool_] | None = None
) -> Interval:
    """Of the mean of values that come in independent clusters.

    Args:
        sums: (n,) of the values in each cluster.
        counts: (n,), how many they are.
        best: no value is on the other side of it; infinite where values may lie on both sides of
            their mean, which is then taken to be distributed normally.
        beyond: (n,), whether a cluster's error is more than rounding; all are by default.
    """
    n, total = len(sums), counts.sum()
    if n < FEWEST:
        return Interval(reason=f"{n} cluster{'s' * (n != 1)}, {FEWEST} needed")
    bounded = isfinite(best)
    means = np.abs(best - sums / counts) if bounded else sums / counts
    weights = counts / total
    mean = float((weights * means).sum())
    if not np.isfinite(means).all():
        return Interval(reason="not finite")
    carriers = np.ones(n, dtype=bool) if beyond is None else beyond
    if not carriers.any():
        return Interval(reason="within rounding")
    if bounded:
        carriers = carriers & (means >= _NEGLIGIBLE * mean)
    elif not carriers.all():
        return Interval(reason=f"within rounding in {n - carriers.sum()} of {n} clusters")
    k = int(carriers.sum())
    if k < CARRIERS:
        return Interval(reason=f"carried by {k} of {n} clusters, {CARRIERS} needed")
    if np.ptp(means) == 0:
        value = float(sums[0] / counts[0])
        return Interval(value, value)
    error = sqrt(n / (n - 1) * float(np.square(weights * (means - mean)).sum()))
    if not bounded:
        low, high = _quantiles(weights.tobytes(), 1.0, _SPREADS[0])
        return Interval(mean - high * error, mean - low * error)
    low, high = _quantiles(weights.tobytes(), k / n, _spread(means[carriers]))
    least = mean * exp(-high * error / mean) * _allowed(n, k)
    most = mean * exp(min(-low * error / mean, 700.0))
    if best == 0:
        return Interval(least, most)
    higher_is_better = float(sums.sum() / total) < best
    return (
        Interval(best - most, best - least)
        if higher_is_better
        else Interval(best + least, best + most)
    )


def _spread(values: Floats) -> float:
    """The standard deviation of logarithms that a population with these values (k,) may have.

    What few values say of a variance is skewed: its mean, given them, is (k − 1) / (k − 3) of
    theirs.
    """
    k = len(values)
    found = float(np.log(values).std(ddof=1)) * sqrt((k - 1) / (k - 3))
    low, high = _SPREADS
    return min(low * _STEP ** ceil(log(max(found / low, 1), _STEP)), high)


@lru_cache(maxsize=256)
def _quantiles(weighed: bytes, share: float, spread: float) -> tuple[float, float]:
    """Of T, for clusters with weights (n,) of which a ``share`` carries a lognormal mean."""
    light = np.frombuffer(weighed).astype(np.float32)
    n = len(light)
    found = []
    for first, number in _blocks(n):
        values = np.float32(spread) * _normal(n, first, number)
        np.exp(values, out=values)
        values -= 1  # which keeps the digits where they are nearly equal
        sample = np.ones(number, dtype=bool)
        if share < 1:
            idle = _uniform(n, first, number) >= share
            values[idle] = -1
            sample = idle.sum(axis=1) <= n - 2  # one value has no spread
        mean = np.einsum("ij,j->i", values, light)
        values -= mean[:, None]
        values *= light
        square = np.einsum("ij,ij->i", values, values).astype(np.float64)[sample]
        mean = mean.astype(np.float64)[sample]
        distance = np.log1p(mean) - log(share) - spread**2 / 2
        found.append(distance * (1 + mean) / np.sqrt(n / (n - 1) * square))
    low, high = np.quantile(np.concatenate(found), _TAILS)
    return float(low), float(high)


def _blocks(n: int) -> Iterator[tuple[int, int]]:
    """Samples of n clusters, as many at a time as memory should take: the first, and how many."""
    step = max(1, _DRAWN // n)
    for first in range(0, _SAMPLES, step):
        yield first, step if step >= _SAMPLES else min(step, _SAMPLES - first)


@lru_cache(maxsize=64)
def _normal(n: int, first: int, number: int) -> Drawn:
    return generator("normal", n, first).standard_normal((number, n), dtype=np.float32)


@lru_cache(maxsize=64)
def _uniform(n: int, first: int, number: int) -> Drawn:
    return generator("uniform", n, first).random((number, n), dtype=np.float32)


@lru_cache(maxsize=4096)
def _allowed(n: int, k: int) -> float:
    """What makes up, in a lower bound, for giving it only where there are enough carriers.

    The share of clusters that carry is at least q with P(K ≥ k) = 5 %; given that K is large
    enough to be looked at, it is at least the q' with P(K ≥ k | K ≥ CARRIERS) = 5 %. This is
    q' / q: near 1 for many carriers, 0 for as few as possible.
    """
    if k == n:  # nothing says that any cluster does not carry
        return 1.0
    if k == CARRIERS:
        return 0.0

    def excess(share: float) -> float:
        given = betainc(CARRIERS, n - CARRIERS + 1, share)
        return float(betainc(k, n - k + 1, share) / given) - _CHOSEN

    bound = float(betaincinv(k, n - k + 1, _CHOSEN))
    if excess(bound) <= 0:  # so many that there are always enough
        return 1.0
    found: Any = brentq(excess, bound * 1e-6, bound)
    return float(found) / bound
