"""The error by power of two, drawn: which pooling level contributes what."""

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from equibench.reports.figures.log_axis import LogAxis
from equibench.reports.figures.style import (
    COLUMN,
    FONT,
    PAGE,
    legend,
    looks,
    new_figure,
    plain,
    style,
)
from equibench.reports.findings.leaderboard import network_names, subset_name
from equibench.reports.findings.power_of_two import by_power_of_two
from equibench.reports.findings.run_data import RunData, short_names, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["power_figure"]

_PANELS = 3


def power_figure(data: RunData, width: float = PAGE) -> "Figure | None":
    """Mean NMSE of shifts of which both components are multiples of 1, 2, 4, …, a panel a suite.

    None where no circular shifts were measured.

    Args:
        width: of the figure, in inches.
    """
    data = data.circular
    if not data.suites:
        return None
    found = by_power_of_two(data.shifted, data.total_stride)
    found = found[found["axis"] == "both"]
    parts = list(found.groupby(["suite", "group"], sort=False))
    columns = min(len(parts), 1 if width <= COLUMN else _PANELS)
    lines, names = ceil(len(parts) / columns), network_names(data)
    look, short = looks(names[model] for model in data.models), short_names([*names.values()], 24)
    axis = LogAxis.of(found["mean"].to_numpy(np.float64))
    powers = sorted(found["power"].unique())
    with style():
        figure = new_figure(width, 0.9 + 1.9 * lines)
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for panel, ((suite, group), part) in zip(grid.ravel(), parts, strict=False):
            for model, mine in part.groupby("model", sort=False):
                drawn, name = mine[np.isfinite(mine["mean"])], names[str(model)]
                panel.plot(
                    np.log2(drawn["power"]), axis.place(drawn["mean"].to_numpy(np.float64)),
                    linewidth=1, markersize=4, label=plain(short[name]), **look[name],
                )  # fmt: skip
            panel.set_title(plain(shorten(subset_name(str(suite), str(group)), 30)))
        for panel in grid.ravel()[len(parts) :]:
            panel.remove()
        grid[0, 0].set_xticks(np.log2(powers), [str(power) for power in powers])
        grid[0, 0].set_yticks(*axis.ticks)
        for panel in grid[:, 0]:
            panel.set_ylabel("mean NMSE ↓")
        figure.supxlabel("shift (dy, dx) is a multiple of (and not of the next)", fontsize=FONT)
        legend(figure, width)
    return figure
