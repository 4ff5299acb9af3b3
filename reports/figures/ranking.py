"""Every model's mean error with its interval, and its worst, suite by suite."""

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
    legend,
    new_figure,
    plain,
    style,
    trim,
    wrapped,
)
from equibench.reports.findings.leaderboard import shown_names, subset_name
from equibench.reports.findings.run_data import RunData, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ranking_figure"]

_PANELS = 2
_NOTES = 4
_NAMES = 1.2
"""Inches for the names of models beside a panel."""


def ranking_figure(data: RunData, width: float = PAGE) -> "Figure":
    """Mean NMSE with the 95 % interval of the mean, and the worst: one panel a suite (and group).

    Args:
        width: of the figure, in inches.
    """
    parts = list(data.summary.groupby(["suite", "group"], sort=False))
    columns = min(len(parts), 1 if width <= COLUMN else _PANELS)
    lines, most = ceil(len(parts) / columns), max(len(part) for _, part in parts)
    names = shown_names(data, 24)
    reasons = wrapped(_without_interval(data.summary, names), width)
    with style():
        figure = new_figure(width, 1.3 + 0.14 * len(reasons) + lines * (0.6 + 0.17 * most))
        grid = figure.subplots(lines, columns, squeeze=False)
        for panel, ((suite, group), part) in zip(grid.ravel(), parts, strict=False):
            y = np.arange(len(part))
            mean, worst = (part[f"eq_nmse_{s}"].to_numpy(np.float64) for s in ("mean", "worst"))
            axis = LogAxis.of(np.concatenate([mean, worst]))
            low, high = (part[f"eq_nmse_ci_{s}"].to_numpy(np.float64) for s in ("low", "high"))
            known = np.isfinite(low) & np.isfinite(high)
            if known.any():  # or the legend would name what is nowhere
                panel.hlines(
                    y[known], axis.place(low[known]), axis.place(high[known]),
                    color=BLUE, alpha=0.4, linewidth=3, label="95 % interval of the mean",
                )  # fmt: skip
            for values, look in (
                (worst, {"marker": "D", "color": ORANGE, "label": "worst"}),
                (mean, {"marker": "o", "color": BLUE, "label": "mean over cases and shifts"}),
            ):
                drawn = np.isfinite(values)
                panel.scatter(axis.place(values[drawn]), y[drawn], s=16, zorder=3, **look)
            panel.set_title(plain(shorten(subset_name(str(suite), str(group)), 36)))
            panel.set_yticks(y, [plain(names[model]) for model in part["model"]])
            panel.set_ylim(most - 0.5, -0.5)
            panel.grid(axis="y", color="0.92")
            panel.set_xticks(*axis.ticks(width / columns - _NAMES))
            panel.set_xlim(axis.zero - 0.04 * axis.span, axis.high + 0.04 * axis.span)
        trim(grid, len(parts))
        label = ", ".join(["equivariance error NMSE ↓", *([OWN] if len(parts) > 1 else [])])
        figure.supxlabel("\n".join([label, *reasons]), fontsize=FONT)
        legend(figure, width)
    return figure


def _without_interval(summary: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Why means have no interval: a line for each reason and those that it holds for.

    Suites (and groups) whose networks all share the reason are named alone, others with the
    networks of which it is true.
    """
    if "eq_nmse_ci_reason" not in summary:
        return []
    subset = [subset_name(*pair) for pair in zip(summary["suite"], summary["group"], strict=True)]
    lines = summary.assign(subset=subset, network=summary["model"].map(names))
    given = lines[lines["eq_nmse_ci_reason"].fillna("") != ""]
    places: dict[tuple[str, str], list[str]] = {}
    for (reason, where), part in given.groupby(["eq_nmse_ci_reason", "subset"], sort=False):
        whole = len(part) == (lines["subset"] == where).sum()
        who = "" if whole else f" for {', '.join(part['network'])}"
        places.setdefault((str(reason), who), []).append(str(where))
    found = [
        plain(f"no interval{who} on {', '.join(where)}: {reason}")
        for (reason, who), where in places.items()
    ]
    if len(found) > _NOTES:
        found = [*found[: _NOTES - 1], f"and {len(found) - _NOTES + 1} other reasons"]
    return found
