"""Paired statistics: is one of two series of errors smaller than the other, cluster by cluster?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import rankdata

__all__ = [
    "SIGNIFICANCE",
    "Paired",
    "Tested",
    "by_cluster",
    "could_be_significant",
    "holm",
    "paired",
]

SIGNIFICANCE = 0.05

_EXACT = 200
"""Up to so many differences, every way to give them signs is counted."""

Floats = NDArray[np.float64]


class Tested(Protocol):
    """A test's p, and the smallest that it can have with so many observations."""

    @property
    def p(self) -> float: ...

    @property
    def smallest(self) -> float: ...


@dataclass(frozen=True)
class Paired:
    """The Wilcoxon signed-rank test of paired differences.

    Args:
        pairs: how many there are.
        different: how many of them differ.
        p: two-sided; 1 where no pair differs.
        effect: the matched-pairs rank-biserial correlation, from −1 (every difference is
            negative) to 1 (every one is positive).
    """

    pairs: int
    different: int
    p: float
    effect: float

    @property
    def smallest(self) -> float:
        """The smallest p that so many differences can have: all of one sign."""
        return float(min(1.0, 2.0 ** (1 - self.different)))


def by_cluster(differences: ArrayLike, cases: ArrayLike, clusters: ArrayLike) -> Floats:
    """Means of differences (n,) over the shifts of a case, and of those over a cluster's cases.

    Shifts of one case share its image, cases of one cluster their patient: only clusters are
    independent of each other, and a test may count nothing else.

    Args:
        cases, clusters: (n,), what each difference belongs to.
    """
    d = np.asarray(differences, dtype=np.float64)
    names, case = np.unique(np.asarray(cases, dtype=object).astype(str), return_inverse=True)
    of_case = np.bincount(case, d) / np.bincount(case)
    owner = np.empty(len(names), dtype=object)
    owner[case] = np.asarray(clusters, dtype=object)
    _, cluster = np.unique(owner.astype(str), return_inverse=True)
    found: Floats = np.bincount(cluster, of_case) / np.bincount(cluster)
    return found


def paired(differences: ArrayLike) -> Paired:
    """Test independent differences (n,) for a shift away from zero; zeros are left out.

    If neither side is better, a difference is as likely to have the other sign. Of all 2ⁿ ways to
    give signs to the ranks, ties included, p is the share whose sum is as far from its middle; for
    more than 200 differences it is that of the normal distribution.

    Source: Wilcoxon 1945; Kerby 2014 for the effect size.
    """
    d = np.asarray(differences, dtype=np.float64)
    moved = d[d != 0]
    if not len(moved):
        return Paired(len(d), 0, 1.0, 0.0)
    ranks = np.rint(2 * rankdata(np.abs(moved))).astype(np.int64)  # of ties they are halves
    positive, total = int(ranks[moved > 0].sum()), int(ranks.sum())
    tail = _tail if len(moved) <= _EXACT else _normal_tail
    p = min(1.0, 2 * tail(ranks, max(positive, total - positive)))
    return Paired(len(d), len(moved), p, (2 * positive - total) / total)


def _tail(ranks: NDArray[np.int64], sum_: int) -> float:
    """The share of all ways to choose some of the ranks in which they add up to so much."""
    share = np.zeros(int(ranks.sum()) + 1)
    share[0] = 1
    for rank in ranks:
        share[rank:] += share[:-rank].copy()
        share /= 2
    return float(share[sum_:].sum())


def _normal_tail(ranks: NDArray[np.int64], sum_: int) -> float:
    above = sum_ - ranks.sum() / 2 - 1  # continuity: sums are two apart where nothing is tied
    return float(ndtr(-above / (np.sqrt(np.square(ranks).sum()) / 2)))


def could_be_significant(tests: Sequence[Tested]) -> list[bool]:
    """Which of several tests could be significant at all, were all their differences of one sign.

    The others would only take power from these in Holm's correction.
    """
    chosen = [test.smallest < SIGNIFICANCE for test in tests]
    best = iter(holm([test.smallest for test, able in zip(tests, chosen, strict=True) if able]))
    return [able and next(best) < SIGNIFICANCE for able in chosen]


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for being several (Holm 1979), in their order."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    result = np.empty_like(p)
    result[order] = adjusted
    return [float(value) for value in result]
