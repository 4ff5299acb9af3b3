"""The error at each shift, over cases: what heat maps draw."""

from dataclasses import dataclass
from math import ceil, gcd

import numpy as np
import pandas as pd

from equibench.transforms.transform import AXES

__all__ = ["ShiftLattice"]

_CELLS = 64


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
    """

    cells: pd.DataFrame
    dy: range
    dx: range
    cell: int
    thinned: bool
    axes: int = 2

    @classmethod
    def of(cls, rows: pd.DataFrame, values: "pd.Series[float] | None" = None) -> "ShiftLattice":
        """Of the shifted rows of one suite.

        Args:
            values: one for each row, larger is worse; by default the NMSE.
        """
        values = rows["eq_nmse"] if values is None else values
        places = rows[["dy", "dx"]].fillna(0).astype(np.int64)
        axes = {name: np.unique(places[name]) for name in places}
        step = gcd(*(int(gap) for each in axes.values() for gap in np.diff(each))) or 1
        longest = max(int(np.ptp(each)) // step + 1 for each in axes.values())
        cell = step * ceil(longest / _CELLS)
        found = pd.DataFrame({"model": rows["model"], "case": rows["case"]})
        found["value"] = values.astype(float).fillna(np.inf)
        for name, each in axes.items():
            found[name] = each[0] + (places[name] - each[0]) // cell * cell
        keys = ["model", "dy", "dx"]
        # the first line of each cell is then that of the worst
        ordered = found.sort_values("value", ascending=False, kind="stable")
        grouped = ordered.groupby(keys, sort=False)
        cells = grouped.agg(
            mean=("value", "mean"), worst=("value", "first"), case=("case", "first")
        )
        starts = {name: range(int(v[0]), int(v[-1]) + 1, cell) for name, v in axes.items()}
        tidy = cells.reset_index().sort_values(["dy", "dx"], kind="stable", ignore_index=True)
        dims = sum(bool(rows[name].notna().any()) for name in AXES if name in rows)
        return cls(tidy, starts["dy"], starts["dx"], cell, cell > step, dims)

    def means(self, model: str) -> pd.DataFrame | None:
        """The means of one model as dy × dx, NaN where there is no shift; None without rows."""
        mine = self.cells[self.cells["model"] == model]
        if mine.empty:
            return None
        table = mine.pivot_table(values="mean", index="dy", columns="dx", aggfunc="mean")
        return table.reindex(index=self.dy, columns=self.dx)
