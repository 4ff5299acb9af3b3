"""The error at each shift, over cases: what heat maps draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, gcd

import numpy as np
import pandas as pd

from equibench.transforms.transform import AXES

__all__ = ["ShiftLattice", "few_shifts"]

_SIDES = ("dy", "dx")
_CELLS = 64
_FILLED = 0.25
"""Share of a lattice's cells below which single shifts would be specks in an empty field."""
_NICE = (1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 50, 64, 100, 128, 200, 256, 500, 512)


@dataclass(frozen=True, eq=False)
class ShiftLattice:
    """The mean and the worst over cases, on the lattice that a suite's shifts lie on.

    Shifts of volumes are seen along z, over all dz; those of signals are one line, dy = 0.

    Args:
        cells: one line for each model and cell with a shift in it: ``model``, ``dy`` and ``dx``
            of the cell's first shift, ``mean``, ``worst`` and the ``case`` of the worst. Infinite
            where a value is NaN or infinite.
        dy, dx: the first shifts of all cells along each axis, empty ones included.
        cell: pixels along the side of a cell.
        thinned: whether a cell holds neighbouring shifts, as it does on lattices of more than
            64 positions.
        axes: of the images in space.
        pooled: a cell holds the shifts whose components have about these magnitudes, whatever their
            signs: drawn at random they are too few for a map of single ones.
    """

    cells: pd.DataFrame
    dy: range
    dx: range
    cell: int
    thinned: bool
    axes: int = 2
    pooled: bool = False

    @classmethod
    def of(
        cls,
        rows: pd.DataFrame,
        values: "pd.Series[float] | None" = None,
        pooled: bool | None = None,
    ) -> "ShiftLattice":
        """Of the shifted rows of one suite.

        Args:
            values: one for each row, larger is worse; by default the NMSE.
            pooled: whether shifts are pooled by magnitude; by default where there are few.
        """
        values = rows["eq_nmse"] if values is None else values
        places = rows[["dy", "dx"]].fillna(0).astype(np.int64)
        if few_shifts(rows) if pooled is None else pooled:
            return cls._pooled(rows, values, places.abs())
        axes = {name: np.unique(places[name]) for name in _SIDES}
        step = gcd(*(int(gap) for each in axes.values() for gap in np.diff(each))) or 1
        longest = max(int(np.ptp(each)) // step + 1 for each in axes.values())
        cell = step * ceil(longest / _CELLS)
        starts = {name: range(int(v[0]), int(v[-1]) + 1, cell) for name, v in axes.items()}
        cells = _cells(rows, values, places, {name: int(v[0]) for name, v in axes.items()}, cell)
        return cls(cells, starts["dy"], starts["dx"], cell, cell > step, _dims(rows))

    @classmethod
    def _pooled(
        cls, rows: pd.DataFrame, values: "pd.Series[float]", places: pd.DataFrame
    ) -> "ShiftLattice":
        """By magnitude, in about as many cells as there are shifts."""
        moving = [name for name in _SIDES if places[name].any()]
        wanted = len(places.drop_duplicates()) ** (1 / max(1, len(moving)))
        longest = int(places.to_numpy().max()) + 1
        cell = next((n for n in _NICE if longest / n <= ceil(wanted)), longest)
        starts = {name: range(0, int(places[name].max()) + 1, cell) for name in _SIDES}
        cells = _cells(rows, values, places, dict.fromkeys(_SIDES, 0), cell)
        return cls(cells, starts["dy"], starts["dx"], cell, cell > 1, _dims(rows), True)

    @property
    def cell_says(self) -> str:
        """What a cell is, to follow “a cell:”."""
        if self.pooled:
            sides = "|dy| and |dx|" if self.axes > 1 else "|dx|"
            return f"the shifts with {sides} in steps of {self.cell} pixels"
        if self.thinned:
            return f"neighbouring shifts, up to {self.cell} pixels along a side"
        return "one shift"

    def name(self, axis: str) -> str:
        """What an axis is called."""
        return f"|{axis}|" if self.pooled else axis

    @staticmethod
    def ticks(starts: Sequence[int], most: int) -> list[int]:
        """Which of the cells along an axis are named: round numbers, at most so many."""
        if len(starts) <= most:
            return list(starts)
        for step in _NICE:
            found = [start for start in starts if start % step == 0]
            if 1 < len(found) <= most:
                return found
        return [starts[0], starts[-1]]

    def means(self, model: str) -> pd.DataFrame | None:
        """The means of one model as dy × dx, NaN where there is no shift; None without rows."""
        mine = self.cells[self.cells["model"] == model]
        if mine.empty:
            return None
        table = mine.pivot_table(values="mean", index="dy", columns="dx", aggfunc="mean")
        return table.reindex(index=self.dy, columns=self.dx)


def few_shifts(rows: pd.DataFrame) -> bool:
    """Whether a map of single shifts would be mostly empty."""
    shifts = rows[["dy", "dx"]].fillna(0).astype(np.int64).drop_duplicates()
    area = 1
    for name in shifts:
        each = np.unique(shifts[name])
        area *= int(np.ptp(each)) // (gcd(*(int(gap) for gap in np.diff(each))) or 1) + 1
    return len(shifts) < _FILLED * min(area, _CELLS**2)


def _cells(
    rows: pd.DataFrame,
    values: "pd.Series[float]",
    places: pd.DataFrame,
    first: Mapping[str, int],
    cell: int,
) -> pd.DataFrame:
    """Mean, worst and its case for each model and cell; ``first`` is where the lattice begins."""
    found = pd.DataFrame({"model": rows["model"], "case": rows["case"]})
    found["value"] = values.astype(float).fillna(np.inf)
    for name, start in first.items():
        found[name] = start + (places[name] - start) // cell * cell
    # the first line of each cell is then that of the worst
    ordered = found.sort_values("value", ascending=False, kind="stable")
    cells = ordered.groupby(["model", "dy", "dx"], sort=False).agg(
        mean=("value", "mean"), worst=("value", "first"), case=("case", "first")
    )
    return cells.reset_index().sort_values(["dy", "dx"], kind="stable", ignore_index=True)


def _dims(rows: pd.DataFrame) -> int:
    return sum(bool(rows[name].notna().any()) for name in AXES if name in rows)
