"""Of crops, the error by distance to the nearest border: what is boundary, and what is sampling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from equibench.foundation.rounding import allowance
from equibench.transforms.crop import BY_DISTANCE, OVERLAP_NMSE

__all__ = ["DISTANCES", "BorderProfile", "border_profiles"]

DISTANCES = (0, 2, 8, 32)
"""Pixels that tables show."""

_INNERMOST = 0.75
"""The share of the distances beyond which pixels count as inside."""

_FALLING = 3.0
"""How much larger an error is before a stretch than in it, of a profile that still falls."""


@dataclass(frozen=True, eq=False)
class BorderProfile:
    """One model on one suite.

    Args:
        errors: mean squared error at each distance from 0 pixels on, over the reference's mean
            square; means over cases and windows, (distances,).
        overlap: the NMSE over the whole overlap.
        rounding: the NMSE that counts as rounding.
    """

    model: str
    suite: str
    group: str
    errors: NDArray[np.float64]
    overlap: float
    rounding: float

    @property
    def _first_inside(self) -> int:
        return int(_INNERMOST * len(self.errors))

    @property
    def inside(self) -> float:
        """The mean over the innermost quarter of the distances; 0 where it is rounding."""
        mean = float(self.errors[self._first_inside :].mean())
        return mean if mean > self.rounding else 0.0

    @property
    def falls(self) -> bool:
        """Whether the error still falls there, so that a larger window would show less."""
        first, last = np.array_split(self.errors[self._first_inside :], 2)
        known = bool(self.inside and len(last))
        return known and bool(first.mean() > _FALLING * max(last.mean(), self.rounding))

    @property
    def reach(self) -> int:
        """Pixels from the border beyond which no error is above rounding or twice that inside."""
        above = np.flatnonzero(self.errors > max(self.rounding, 2 * self.inside))
        return int(above[-1]) + 1 if len(above) else 0

    @property
    def reached(self) -> str:
        """The reach as tables show it."""
        return f"> {self._first_inside}" if self.falls else str(self.reach)

    @property
    def sampling(self) -> float:
        """The share of the NMSE that is everywhere; NaN where there is none at all."""
        return min(1.0, self.inside / self.overlap) if self.overlap > self.rounding else np.nan

    @property
    def boundary(self) -> float:
        """The share of the NMSE that the borders add."""
        return 1 - self.sampling

    def at(self, distance: int) -> float:
        """The error at a distance; NaN beyond the window."""
        return float(self.errors[distance]) if distance < len(self.errors) else np.nan


def border_profiles(rows: pd.DataFrame) -> list[BorderProfile]:
    """One for each model × suite × group of rows that have errors by distance.

    Args:
        rows: of elements, in which groups tell transforms apart.
    """
    if BY_DISTANCE not in rows:
        return []
    own = rows[rows[BY_DISTANCE].notna()]
    found = []
    for (suite, group, model), part in own.groupby(["suite", "group", "model"], sort=False):
        first: Any = part.iloc[0]
        limit = allowance(str(first["precision"]), float(part["floor_nmse"].max()))
        overlap = float(part[OVERLAP_NMSE].mean())
        errors = _mean([np.asarray(each) for each in part[BY_DISTANCE]])
        found.append(BorderProfile(str(model), str(suite), str(group), errors, overlap, limit))
    return found


def _mean(profiles: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean at each distance that all of them have."""
    shared = min(map(len, profiles))
    mean: NDArray[np.float64] = np.mean([profile[:shared] for profile in profiles], axis=0)
    return mean
