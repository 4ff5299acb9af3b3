"""Robustness against quality: the worst that a shift does to PSNR, or Dice, against that."""

from collections.abc import Iterator
from dataclasses import dataclass
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
from equibench.reports.tables.values import measured, quality_shown
from equibench.statistics.summary import Column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["pareto_figure", "pareto_front"]

_PANELS = 2
_GREEN = "#009e73"
_ROUNDING = 1e-12
"""A smaller change, in dB or of Dice, is drawn as 0."""


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
    """The worst loss of quality against its mean, one panel a suite with a ground truth.

    Quality is PSNR, of labels Dice; None without a ground truth.

    Args:
        width: of the figure, in inches.
    """
    fronts = list(_fronts(data))
    if not fronts:
        return None
    columns = min(len(fronts), 1 if width <= COLUMN else _PANELS)
    lines, names = ceil(len(fronts) / columns), network_names(data)
    look, short = looks(names[model] for model in data.models), short_names([*names.values()], 24)
    alike = len({front.change.name for front in fronts}) == 1
    with style():
        figure = new_figure(width, 0.9 + 2.3 * lines)
        grid = figure.subplots(lines, columns, squeeze=False)
        for panel, front in zip(grid.ravel(), fronts, strict=False):
            peers = [f.losses for f in fronts if f.change.name == front.change.name]
            axis = LogAxis.of(np.concatenate(peers))
            x, y = axis.place(front.losses), front.qualities
            for model, at, height in zip(front.lines["model"], x, y, strict=True):
                name = names[model]
                panel.plot(
                    at, height, linestyle="none", markersize=5, label=plain(short[name]),
                    **look[name],
                )  # fmt: skip
            panel.set_title(plain(shorten(front.subset, 36)))
            panel.set_xticks(*axis.ticks(width / columns - 0.7))
            panel.set_xlim(axis.zero - 0.06 * axis.span, axis.high + 0.04 * axis.span)
            best = pareto_front(front.losses, y)
            _draw_front(panel, x[best], y[best])
            panel.set_ylabel(front.quality.heading)
            if not alike:
                panel.set_xlabel(f"worst {front.change.heading}")
        trim(grid, len(fronts))
        if alike:
            figure.supxlabel(f"worst {fronts[0].change.heading}", fontsize=FONT)
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


@dataclass(frozen=True)
class _Front:
    """Networks on a suite (and group): lines of a summary with a quality and its change."""

    subset: str
    lines: pd.DataFrame
    quality: Column
    change: Column

    @property
    def qualities(self) -> Floats:
        return self.lines[f"{self.quality.name}_mean"].to_numpy(np.float64)

    @property
    def losses(self) -> Floats:
        change = self.lines[f"{self.change.name}_worst"].to_numpy(np.float64)
        return np.where(change < _ROUNDING, 0.0, change)


def _fronts(data: RunData) -> Iterator[_Front]:
    """By the last quality that a suite has with what shifts do to it: of labels that is Dice."""
    for (suite, group), part in data.summary.groupby(["suite", "group"], sort=False):
        for quality in reversed(quality_shown(part)):
            changes = measured(part, [f"delta_{quality.name}"])
            if not changes:
                continue
            wanted = [f"{quality.name}_mean", f"{changes[0].name}_worst"]
            both = part[np.isfinite(part[wanted].astype(float)).all(axis=1)]
            if len(both):
                yield _Front(subset_name(str(suite), str(group)), both, quality, changes[0])
                break
