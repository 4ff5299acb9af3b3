"""Screening: the worst shifts are found in a fast precision, and measured again in fp32.

√NMSE is the length of an error vector, so a precision that changes outputs by little changes it by
no more. By how much it does is measured: on the worst shifts, and on some at random, which have
both values. Whatever could be among the worst by that much is measured again as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from equibench.foundation.seeds import generator
from equibench.measurement.measurement import Measured
from equibench.measurement.settings import Settings
from equibench.metrics.chosen import metrics_of
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import ShiftPlan, Shifts
from equibench.transforms.transform import AXES, Size

__all__ = ["WORST", "Chosen", "screened"]

WORST = 3
"""How many of the worst shifts of each case are confirmed, by every metric."""

Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Makes distances of a column's values."""

Rows = Callable[[Settings, Sequence[str]], Measured]
"""Measures cases under settings."""


@dataclass(frozen=True)
class Chosen(ShiftPlan):
    """Some of the shifts of a plan, case by case."""

    plan: ShiftPlan
    by_case: Mapping[str, Shifts] = field(repr=False)

    def shifts(self, seed: int, suite: str, case: str, size: Size) -> Shifts:
        known = self.by_case.get(case)
        return self.plan.shifts(seed, suite, case, size) if known is None else known

    def count(self, axes: int = 2) -> None:
        return None

    def covers(self, size: Size) -> int:
        return self.plan.covers(size)

    @property
    def evidence(self) -> str:
        return self.plan.evidence


def screened(rows: Rows, settings: Settings, cases: Sequence[str]) -> Measured:
    """Rows of all shifts in the fast precision, the worst and what may be among them in fp32.

    ``screen_nmse`` is the largest NMSE by which, in the shifts of a case that were measured in
    both, the fast precision changes outputs at least: (√e − √e')². Where a case has shifts of the
    fast precision alone, nothing is enumerated: that they are not the worst is known from
    ``spots`` random checks.

    Args:
        settings: of circular shifts; ``screen`` is the fast precision.
    """
    assert settings.screen is not None
    (transform,) = settings.transforms
    assert isinstance(transform, Circular)
    own = replace(settings, screen=None)
    fast = rows(replace(own, precision=settings.screen), cases)
    if fast.rows.empty:
        return fast
    search = _Search(fast, transform.plan, settings)
    broken, sizes = dict(fast.broken), dict(fast.sizes)
    while wanted := search.wanted():
        plan = Chosen(transform.plan, {case: s for case, (_, s) in wanted.items()})
        measured = rows(replace(own, transforms=(Circular(plan),)), list(wanted))
        broken |= measured.broken
        search.confirm(measured.rows, {case: draws for case, (draws, _) in wanted.items()})
        search.forget(measured.broken)
    return Measured(search.table(), broken, {n: s for n, s in sizes.items() if n not in broken})


class _Search:
    """Which shifts of each case have been confirmed, and which are to be.

    Args:
        fast: what was measured in the fast precision.
        plan: its shifts.
    """

    def __init__(self, fast: Measured, plan: ShiftPlan, settings: Settings) -> None:
        self.plan, self.settings = plan, settings
        self.fast = fast.rows
        self.sizes = fast.sizes
        self.full = fast.rows.copy()
        self.cases = {
            str(case): np.asarray(at) for case, at in self.fast.groupby("case").indices.items()
        }
        self.confirmed = np.zeros(len(self.fast), dtype=bool)
        self.checks = {case: self._checks(case) for case in self.cases}
        scales = _scales(self.fast)
        self.distances = [(c, s, _distances(self.fast, c, s)) for c, s in scales.items()]

    def _shifts(self, case: str) -> Shifts:
        """Of its draws, the identity left out, (n, axes)."""
        axes = AXES[-len(self.sizes[case]) :]
        shifts: Shifts = self.fast[list(axes)].to_numpy()[self.cases[case][1:]].astype(np.int64)
        return shifts

    def _checks(self, case: str) -> NDArray[np.int64]:
        """The draws that are measured in both precisions whatever they are."""
        shifts = self._shifts(case)
        known = self.plan.checks(shifts)
        if known is not None:
            return 1 + known
        random = generator("screening", self.settings.seed, str(self.fast["suite"].iloc[0]), case)
        number = min(self.settings.spots, len(shifts))
        return 1 + random.choice(len(shifts), size=number, replace=False)

    def wanted(self) -> dict[str, tuple[NDArray[np.int64], Shifts]]:
        """Draws that are to be measured again next, with their shifts, by case."""
        found = {}
        for case, at in self.cases.items():
            draws = np.flatnonzero(self._open(case)[1:] & ~self.confirmed[at][1:])
            if len(draws):
                found[case] = 1 + draws, self._shifts(case)[draws]
        return found

    def _open(self, case: str) -> NDArray[np.bool_]:
        """Which rows of a case may be among the worst, or are checks."""
        at = self.cases[case]
        wanted = np.zeros(len(at), dtype=bool)
        wanted[self.checks[case]] = True
        known = self.confirmed[at]
        known[0] = False  # no shift
        for column, scale, distances in self.distances:
            mine = distances[at]
            least = np.sort(mine[1:])[-WORST:][0]
            margin = 0.0
            if known.any():
                now = _distances(self.full.iloc[at], column, scale)
                margin = float(_gap(mine[known], now[known]).max())
                least = np.sort(now[known])[-WORST:][0]
            wanted |= ~(mine + margin < least)
        return wanted

    def confirm(self, rows: pd.DataFrame, draws: Mapping[str, NDArray[np.int64]]) -> None:
        """Take what was measured of some draws in fp32."""
        parts = []
        for case, part in rows.groupby("case", sort=False):
            at = self.cases[str(case)][[0, *draws[str(case)]]]
            part = part.assign(draw=[0, *draws[str(case)]]).set_axis(at)
            parts.append(part.iloc[1:] if self.confirmed[at[0]] else part)
            self.confirmed[at] = True
        if parts:
            new = pd.concat(parts)
            kept = self.full.drop(index=new.index)
            self.full = pd.concat([kept, new]).sort_index()

    def forget(self, cases: Mapping[str, object]) -> None:
        """Leave out cases that cannot be measured in fp32."""
        for case in cases:
            self.cases.pop(case, None)

    def table(self) -> pd.DataFrame:
        """All rows, with what is known of the worst case."""
        parts = []
        for case, at in self.cases.items():
            part, known = self.full.iloc[at], self.confirmed[at]
            roots = (np.sqrt(t["eq_nmse"].to_numpy()[at][known]) for t in (self.fast, self.full))
            found: dict[str, Any] = {"screen_nmse": float(_gap(*roots).max()) ** 2}
            if not known.all() and self.plan.evidence:
                found |= {"evidence": "sampled", "spots": len(self.checks[case])}
            parts.append(part.assign(**found))
        return pd.concat(parts, ignore_index=True) if parts else self.full.iloc[:0]


def _scales(rows: pd.DataFrame) -> dict[str, Scale]:
    """The columns of errors, and what makes distances of them: more is worse."""
    found: dict[str, Scale] = {}
    for metric in metrics_of(rows.columns):
        known: dict[str, Scale] = {
            f"eq_{metric.column}": metric.distance,
            f"delta_{metric.column}": lambda values: values,
        }
        # those of the truth are empty where there is none
        found |= {name: scale for name, scale in known.items() if name in rows}
    return {name: scale for name, scale in found.items() if rows[name].notna().any()}


def _distances(rows: pd.DataFrame, column: str, scale: Scale) -> NDArray[np.float64]:
    """A column on its scale; NaN is worse than any number."""
    values = scale(rows[column].to_numpy(np.float64))
    return np.where(np.isnan(values), np.inf, values)


def _gap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far two values are apart; equal infinities are not."""
    with np.errstate(invalid="ignore"):
        apart: NDArray[np.float64] = np.where(one == other, 0.0, np.abs(one - other))
    return np.nan_to_num(apart, nan=np.inf, posinf=np.inf)
