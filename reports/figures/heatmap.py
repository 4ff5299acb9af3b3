"""How the equivariance error depends on the shift.

All panels share one logarithmic colour scale; zeros and what is NaN or infinite have colours of
their own, and a cell without a shift stays empty.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from equibench.reports.figures.style import (
    COLUMN,
    FONT,
    ORANGE,
    PAGE,
    ZERO,
    new_figure,
    plain,
    style,
    wrapped,
)
from equibench.reports.findings.leaderboard import shown_names
from equibench.reports.findings.run_data import RunData, shorten
from equibench.reports.findings.shift_maps import ShiftLattice, few_shifts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["heatmap_figure"]

_PANEL = 0.6
"""The least side of a panel, in inches."""
_TICKS = 4
_ALONG = {1: "", 2: "\n{dy} [pixels]", 3: "\n{dy} [pixels], any dz"}
"""Of a panel's vertical axis, by the axes that images have."""
_TITLE = 14
_GREY = "#bdbdbd"


def heatmap_figure(data: RunData, width: float = PAGE) -> "Figure | None":
    """Mean NMSE over cases at each shift (dy, dx): a line of panels a suite, a column a model.

    None where no circular shifts were measured.

    Args:
        width: of the figure, in inches.
    """
    from matplotlib.cm import ScalarMappable

    data = data.circular
    rows, suites = data.shifted, data.suites
    if not suites:
        return None
    models = {suite: data.models_of(suite) for suite in suites}
    parts = {suite: rows[rows["suite"] == suite] for suite in suites}
    pooled = any(map(few_shifts, parts.values()))
    lattices = {suite: ShiftLattice.of(part, pooled=pooled) for suite, part in parts.items()}
    scale = _ColourScale.of(lattices.values())
    wide = width > COLUMN
    room = int((width - (1.5 if wide else 0.6)) / _PANEL)
    columns = min(max(map(len, models.values())), room)
    lines = [
        (suite, models[suite][first : first + columns])
        for suite in suites
        for first in range(0, len(models[suite]), columns)
    ]
    blocks = [block for _, block in lines]
    titled = [block != above for block, above in zip(blocks, [None, *blocks], strict=False)]
    titles = shown_names(data, 2 * _TITLE)
    side = min((width - (1.6 if wide else 0.6)) / columns, 1.2)
    height = (0.4 if wide else 1.0) + (0.85 * side + 0.2) * len(lines) + 0.2 * sum(titled)
    with style():
        figure = new_figure(width, height)
        grid = figure.subplots(len(lines), columns, squeeze=False)
        for number, ((suite, block), panels) in enumerate(zip(lines, grid, strict=True)):
            for panel, model in zip(panels, block, strict=False):
                _draw(panel, lattices[suite], model, scale)
                if titled[number]:
                    panel.set_title(_two_lines(titles[model]), fontsize=FONT - 2)
            for panel in panels[1 : len(block)]:
                panel.set_yticks([])
            for panel in panels[len(block) :]:
                panel.set_visible(False)
            along = _ALONG[lattices[suite].axes].format(dy=lattices[suite].name("dy"))
            panels[0].set_ylabel(f"{plain(shorten(suite, 20))}{along}", fontsize=FONT - 1)
        along = f"{lattices[suites[0]].name('dx')} [pixels]"
        said = dict.fromkeys(lattice.cell_says for lattice in lattices.values())
        figure.supxlabel(
            "\n".join(wrapped([f"{along}; a cell: {' or '.join(said)}"], width)), fontsize=FONT
        )
        colours = ScalarMappable(scale.norm, scale.colours)
        bar = figure.colorbar(
            colours,
            ax=grid,
            location="right" if wide else "bottom",
            extend=scale.extend,
            aspect=8 * (height if wide else width),
            pad=0.02,
            extendfrac=0.15 / (height if wide else width),
        )
        bar.set_label(scale.label)
    return figure


@dataclass(frozen=True, eq=False)
class _ColourScale:
    """One scale for all panels; zeros lie below it and infinite means above."""

    norm: Any
    colours: Any
    has_zero: bool
    has_infinite: bool

    @classmethod
    def of(cls, lattices: Iterable[ShiftLattice]) -> "_ColourScale":
        from matplotlib import colormaps
        from matplotlib.colors import LogNorm

        means = np.concatenate([lattice.cells["mean"].to_numpy() for lattice in lattices])
        positive = means[np.isfinite(means) & (means >= ZERO)]
        low, high = (positive.min(), positive.max()) if len(positive) else (1e-16, 1.0)
        decades = floor(np.log10(low)), ceil(np.log10(high))
        norm = LogNorm(10.0 ** decades[0], 10.0 ** max(decades[1], decades[0] + 1))
        colours = colormaps["viridis"].with_extremes(under=_GREY, over=ORANGE)
        return cls(norm, colours, bool((means < ZERO).any()), bool(np.isinf(means).any()))

    @property
    def extend(self) -> str:
        if self.has_zero:
            return "both" if self.has_infinite else "min"
        return "max" if self.has_infinite else "neither"

    @property
    def label(self) -> str:
        grey = "\ngrey: 0, or below $10^{-18}$" if self.has_zero else ""
        orange = "\norange: NaN or infinite" if self.has_infinite else ""
        return f"mean NMSE over cases ↓{grey}{orange}"

    def place(self, means: pd.DataFrame) -> pd.DataFrame:
        """Means with zeros and infinite ones at finite places beyond the ends of the scale."""
        low, high = self.norm.vmin / 10, self.norm.vmax * 10
        return means.mask(means < ZERO, low).mask(np.isinf(means), high)


def _draw(panel: "Axes", lattice: ShiftLattice, model: str, scale: _ColourScale) -> None:
    import seaborn as sns

    panel.grid(False)
    means = lattice.means(model)
    if means is None:
        panel.set(xticks=[], yticks=[])
        panel.text(0.5, 0.5, "no rows", ha="center", va="center", transform=panel.transAxes)
        return
    shown = scale.place(means)
    options = {"cmap": scale.colours, "norm": scale.norm, "cbar": False, "square": True}
    bare = {"xticklabels": False, "yticklabels": False, "rasterized": shown.size > 1000}
    sns.heatmap(shown, ax=panel, mask=shown.isna(), **options, **bare)
    for axis, starts in ((panel.xaxis, shown.columns), (panel.yaxis, shown.index)):
        cells = [int(start) for start in starts]
        named = lattice.ticks(cells, _TICKS)
        # a number at a cell's edge where it holds the shifts from there on
        at = [cells.index(start) + 0.5 * (not lattice.thinned) for start in named]
        axis.set_ticks(at, [f"{start}".replace("-", "−") for start in named], rotation=0)
    panel.set(xlabel="", ylabel="")
    panel.tick_params(length=2, pad=1, labelsize=FONT - 2)
    for spine in panel.spines.values():
        spine.set(visible=True, color="0.8", linewidth=0.6)


def _two_lines(title: str) -> str:
    """A name of at most twice 16 characters, to fit above its panel."""
    return "\n".join(plain(title[i : i + _TITLE]) for i in range(0, len(title), _TITLE))
