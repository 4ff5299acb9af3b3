"""How the equivariance error is distributed over cases and shifts.

No error is left out in silence: exact zeros have a place of their own at the left, and what is
NaN or infinite is counted in a note.
"""

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from equibench.reports.figures.log_axis import OWN, LogAxis
from equibench.reports.figures.style import (
    BLUE,
    COLUMN,
    FONT,
    ORANGE,
    PAGE,
    new_figure,
    plain,
    style,
    trim,
    wrapped,
)
from equibench.reports.findings.leaderboard import shown_names, subset_name
from equibench.reports.findings.run_data import RunData, shorten
from equibench.statistics.averages import quantiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["distribution_figure"]

_PANELS = 3
_NAMES = 1.2
"""Inches for the names of models beside a panel."""
_NOTES = 6
_JITTER = 0.28


def distribution_figure(data: RunData, width: float = PAGE) -> "Figure":
    """Every error (case × shift) of every model, one panel a suite, with median and worst.

    Args:
        width: of the figure, in inches.
    """
    rows = data.shifted
    parts = {
        subset_name(str(suite), str(group)): part
        for (suite, group), part in rows.groupby(["suite", "group"], sort=False)
    }
    models = {subset: list(part["model"].unique()) for subset, part in parts.items()}
    most, shared = max(map(len, models.values())), len(set(map(tuple, models.values()))) == 1
    names = shown_names(data, 24)
    notes = wrapped(_not_drawn(rows, shown_names(data, 32)), width)
    room = 1 if width <= COLUMN else _PANELS if shared else _PANELS - 1
    columns = min(len(parts), room)
    lines = ceil(len(parts) / columns)
    height = 1.0 + 0.14 * len(notes) + lines * (0.55 + 0.2 * most)
    with style():
        figure = new_figure(width, height)
        grid = figure.subplots(lines, columns, sharey=shared, squeeze=False)
        panels = list(grid.ravel())
        beside = _NAMES if shared else _NAMES * columns
        some_zero = False
        for panel, (subset, part) in zip(panels, parts.items(), strict=False):
            axis = LogAxis.of(part["eq_nmse"].to_numpy(dtype=np.float64))
            some_zero |= axis.has_zero
            for y, model in enumerate(models[subset]):
                mine = part.loc[part["model"] == model, ["eq_nmse", "covers"]]
                _draw(panel, y, mine, axis)
            if axis.has_zero:
                panel.axvline(axis.low, color="0.6", linewidth=0.8, linestyle=":")
            panel.set_title(plain(shorten(subset, 36)))
            panel.grid(axis="y", color="0.92")
            if panel is panels[0] or not shared:
                labels = [plain(names[model]) for model in models[subset]]
                panel.set_yticks(range(len(labels)), labels)
                panel.set_ylim(most - 0.5, -0.5)
            panel.set_xticks(*axis.ticks((width - beside) / columns))
            panel.set_xlim(axis.zero - 0.04 * axis.span, axis.high + 0.04 * axis.span)
        trim(grid, len(parts))
        zero = "; 0: exactly zero, or below $10^{-18}$" if some_zero else ""
        own = f", {OWN}" if len(parts) > 1 else ""
        label = f"equivariance error NMSE{own}{zero}"
        figure.supxlabel("\n".join([label, *notes]), fontsize=FONT)
        handles = {
            text: handle
            for panel in panels[: len(parts)]
            for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        if handles:
            figure.legend(handles.values(), handles, loc="outside upper center", ncols=3)
    return figure


def _draw(panel: "Axes", y: int, rows: pd.DataFrame, axis: LogAxis) -> None:
    """One model's errors in one panel. NaN counts as larger than any number."""
    errors, covers = rows["eq_nmse"].to_numpy(np.float64), rows["covers"].to_numpy(np.int64)
    finite = errors[np.isfinite(errors)]
    if not len(finite):
        return
    jitter = np.random.default_rng(y).uniform(-_JITTER, _JITTER, len(finite))
    panel.scatter(
        axis.place(finite),
        y + jitter,
        s=7,
        color=BLUE,
        alpha=0.35,
        linewidths=0,
        rasterized=True,
        label="one case and shift",
    )
    median, _ = quantiles(np.where(np.isnan(errors), np.inf, errors), covers, [], False)
    if np.isfinite(median):
        at = axis.place(np.array([median]))
        panel.scatter(at, [y], s=110, marker="|", color="black", linewidths=1.6, label="median")
    at = axis.place(finite.max(keepdims=True))
    panel.scatter(
        at, [y], s=22, marker="D", color=ORANGE, edgecolors="white", linewidths=0.6, label="worst"
    )


def _not_drawn(rows: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """A line for each model and suite with errors that no axis can show."""
    finite = np.isfinite(rows["eq_nmse"].to_numpy(dtype=np.float64))
    keys = ["suite", "model"]
    missing = rows[~finite].groupby(keys, sort=False).size()
    sizes = rows.groupby(keys, sort=False).size()
    notes = [
        f"not drawn: {count} of {sizes[key]} errors of {plain(names[key[1]])} "
        f"on {plain(shorten(key[0], 24))}, NaN or infinite"
        for key, count in list(missing.items())[:_NOTES]
        if isinstance(key, tuple)
    ]
    rest = missing.iloc[_NOTES:]
    if len(rest):
        notes.append(f"and {rest.sum()} errors of {len(rest)} more networks and suites")
    return notes
