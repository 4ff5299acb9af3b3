"""Paired statistics: is one of two series of errors smaller than the other, pair by pair?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, wilcoxon

__all__ = ["FEWEST", "Paired", "holm", "paired"]

FEWEST = 6
"""Fewer pairs than this cannot be significant at 5 %, two-sided, however they differ."""


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


def paired(differences: ArrayLike) -> Paired:
    """Test differences (n,) for a shift away from zero; zeros are left out of the ranking.

    Source: Wilcoxon 1945; Kerby 2014 for the effect size.
    """
    d: NDArray[np.float64] = np.asarray(differences, dtype=np.float64)
    moved = d[d != 0]
    if not len(moved):
        return Paired(len(d), 0, 1.0, 0.0)
    ranks = rankdata(np.abs(moved))
    effect = float((ranks * np.sign(moved)).sum() / ranks.sum())
    # the exact distribution knows no ties, the normal approximation needs no small sample
    tied = len(np.unique(np.abs(moved))) < len(moved)
    method = "asymptotic" if tied or len(moved) > 50 else "exact"
    return Paired(len(d), len(moved), float(wilcoxon(moved, method=method).pvalue), effect)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for being several (Holm 1979), in their order."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    result = np.empty_like(p)
    result[order] = adjusted
    return [float(value) for value in result]
