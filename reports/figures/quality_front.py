"""Robustness against quality: the worst that a shift does to PSNR, against PSNR."""

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from equibench.reports.figures.log_axis import Floats, LogAxis
from equibench.reports.figures.style import (
    COLUMN,
    FONT,
    PAGE,
    legend,
    looks,
    new_figure,
    plain,
    style,
    trim,
)
from equibench.reports.findings.leaderboard import network_names, subset_name
from equibench.reports.findings.run_data import RunData, short_names, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["pareto_figure", "pareto_front"]

_PANELS = 2
_GREEN = "#009e73"
_ROUNDING = 1e-12
"""In dB: a smaller change of PSNR is drawn as 0."""


def pareto_front(change: Floats, quality: Floats) -> list[int]:
    """The positions of the models that no other beats in both, by rising change.

    Args:
        change: (n,), less is better.
        quality: (n,), more is better.
    """
    best, front = -np.inf, []
    for i in np.lexsort((-quality, change)):
        if quality[i] > best:
            best = quality[i]
            front.append(int(i))
    return front


def pareto_figure(data: RunData, width: float = PAGE) -> "Figure | None":
    """Worst ΔPSNR against mean PSNR, one panel a suite with a ground truth; None without one.

    Args:
        width: of the figure, in inches.
    """
    parts = _parts(data)
    if not parts:
        return None
    columns = min(len(parts), 1 if width <= COLUMN else _PANELS)
    lines, names = ceil(len(parts) / columns), network_names(data)
    look, short = looks(names[model] for model in data.models), short_names([*names.values()], 24)
    axis = LogAxis.of(np.concatenate([_change(part) for part in parts.values()]))
    with style():
        figure = new_figure(width, 0.9 + 2.3 * lines)
        grid = figure.subplots(lines, columns, squeeze=False)
        for panel, (subset, part) in zip(grid.ravel(), parts.items(), strict=False):
            x, y = axis.place(_change(part)), part["psnr_mean"].to_numpy(np.float64)
            front = pareto_front(_change(part), y)
            for model, at, psnr in zip(part["model"], x, y, strict=True):
                name = names[model]
                panel.plot(
                    at, psnr, linestyle="none", markersize=5, label=plain(short[name]), **look[name]
                )
            panel.set_title(plain(shorten(subset, 36)))
            panel.set_xticks(*axis.ticks(width / columns - 0.7))
            panel.set_xlim(axis.zero - 0.06 * axis.span, axis.high + 0.04 * axis.span)
            _draw_front(panel, x[front], y[front])
            panel.set_ylabel("PSNR [dB] ↑")
        trim(grid, len(parts))
        figure.supxlabel("worst ΔPSNR [dB] ↓", fontsize=FONT)
        legend(figure, width)
    return figure


def _draw_front(panel: "Axes", x: Floats, y: Floats) -> None:
    """The border of what these points beat, to the edges of the panel: one point has one, too."""
    (_, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    panel.plot(
        [*np.repeat(x, 2), right],
        [bottom, *np.repeat(y, 2)],
        color=_GREEN, linewidth=1, zorder=1, label="no other is better in both",
    )  # fmt: skip
    panel.set_ylim(bottom, top)


def _parts(data: RunData) -> dict[str, pd.DataFrame]:
    """The lines with both numbers, by suite (and group)."""
    if not {"psnr_mean", "delta_psnr_worst"} <= set(data.summary):
        return {}
    both = np.isfinite(data.summary[["psnr_mean", "delta_psnr_worst"]].astype(float)).all(axis=1)
    groups = data.summary[both].groupby(["suite", "group"], sort=False)
    return {subset_name(str(suite), str(group)): part for (suite, group), part in groups}


def _change(part: pd.DataFrame) -> Floats:
    change = part["delta_psnr_worst"].to_numpy(np.float64)
    return np.where(change < _ROUNDING, 0.0, change)
