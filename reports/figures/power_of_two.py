"""The error by power of two, drawn: which pooling level contributes what."""

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
    ends = int(found["power"].min()), int(found["power"].max())
    powers = [2**k for k in range(ends[0].bit_length() - 1, ends[1].bit_length())]
    with style():
        figure = new_figure(width, 0.9 + 1.9 * lines)
        grid = figure.subplots(lines, columns, sharex=True, squeeze=False)
        for panel, ((suite, group), part) in zip(grid.ravel(), parts, strict=False):
            axis = LogAxis.of(part["mean"].to_numpy(np.float64))
            for model, mine in part.groupby("model", sort=False):
                name = names[str(model)]
                # no line crosses a power that no shift has
                means = mine.set_index("power")["mean"].reindex(powers).to_numpy(np.float64)
                panel.plot(
                    np.log2(powers), axis.place(np.where(np.isfinite(means), means, np.nan)),
                    linewidth=1, markersize=4, label=plain(short[name]), **look[name],
                )  # fmt: skip
            panel.set_title(plain(shorten(subset_name(str(suite), str(group)), 30)))
            panel.set_yticks(*axis.ticks(1.4, 0.25))
        trim(grid, len(parts))
        labels = [f"≥ {p}" if p == data.total_stride else str(p) for p in powers]
        grid[0, 0].set_xticks(np.log2(powers), labels)
        for panel in grid[:, 0]:
            panel.set_ylabel("mean NMSE ↓")
        own = f"; {OWN}" if len(parts) > 1 else ""
        figure.supxlabel(f"largest power of two that divides dy and dx{own}", fontsize=FONT)
        legend(figure, width)
    return figure
