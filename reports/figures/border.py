"""Of crops, the error by distance to the nearest border, drawn."""

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from equibench.reports.figures.log_axis import OWN, LogAxis
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
from equibench.reports.findings.border_profile import border_profiles
from equibench.reports.findings.leaderboard import network_names, subset_name
from equibench.reports.findings.run_data import RunData, short_names, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["border_figure"]

_PANELS = 2


def border_figure(data: RunData, width: float = PAGE) -> "Figure | None":
    """Error by distance to the nearest border of two windows, a panel a suite; None without crops.

    Args:
        width: of the figure, in inches.
    """
    profiles = border_profiles(data.shifted)
    if not profiles:
        return None
    places = list(dict.fromkeys((each.suite, each.group) for each in profiles))
    columns = min(len(places), 1 if width <= COLUMN else _PANELS)
    lines, names = ceil(len(places) / columns), network_names(data)
    look, short = looks(names[model] for model in data.models), short_names([*names.values()], 24)
    with style():
        figure = new_figure(width, 1.0 + 2.6 * lines)
        grid = figure.subplots(lines, columns, squeeze=False)
        for panel, place in zip(grid.ravel(), places, strict=False):
            mine = [each for each in profiles if (each.suite, each.group) == place]
            axis = LogAxis.of(np.concatenate([each.errors for each in mine]))
            for each in mine:
                name = names[each.model]
                panel.plot(
                    axis.place(each.errors), label=plain(short[name]), linewidth=1,
                    markersize=3, markevery=max(1, len(each.errors) // 8), **look[name],
                )  # fmt: skip
            panel.set_yticks(*axis.ticks(2.0, 0.25))
            panel.set_title(plain(shorten(subset_name(*place), 40)))
            panel.set_xlim(left=0)
        trim(grid, len(places))
        for panel in grid[:, 0]:
            panel.set_ylabel("error / mean square ↓")
        own = f"; {OWN}" if len(places) > 1 else ""
        figure.supxlabel(f"distance to the nearest border [pixels]{own}", fontsize=FONT)
        legend(figure, width)
    return figure
