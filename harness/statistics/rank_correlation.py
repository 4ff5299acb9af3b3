"""Whether two quantities rise and fall together: Kendall's rank correlation, with its exact p."""

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau

__all__ = ["Trend", "trend"]


@dataclass(frozen=True)
class Trend:
    """Kendall's τ of two series.

    Args:
        pairs: how many values both have.
        tau: from −1 (one falls as the other rises) to 1.
        p: two-sided; 1 where one of them is constant.
    """

    pairs: int
    tau: float
    p: float

    @property
    def smallest(self) -> float:
        """The smallest p that so many values can have: both in one order."""
        return min(1.0, 2 / factorial(min(self.pairs, 20)))


def trend(x: ArrayLike, y: ArrayLike) -> Trend:
    """Test whether y rises or falls with x, both (n,).

    Source: Kendall 1938; ties by τ-b.
    """
    first, second = (np.asarray(each, dtype=np.float64) for each in (x, y))
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return Trend(len(first), 0.0, 1.0)
    found = kendalltau(first, second)
    return Trend(len(first), float(found.statistic), float(found.pvalue))
