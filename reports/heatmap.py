"""How the equivariance error depends on the shift.

All panels share one logarithmic colour scale; zeros and what is NaN or infinite have colours of
their own, and a cell without a shift stays empty.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor, gcd
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from equibench.reports.data import RunData, short_names, shorten
from equibench.reports.style import FONT, ORANGE, ZERO, new_figure, plain, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ShiftLattice", "heatmap_figure"]

_CELLS = 64
_COLUMNS = 10
_TICKS = 4
_TITLE = 16
_GREY = "#bdbdbd"


def heatmap_figure(data: RunData) -> "Figure":
    """Mean NMSE over cases at each shift (dy, dx): a line of panels a suite, a column a model."""
    from matplotlib.cm import ScalarMappable

    rows, suites = data.shifted, data.suites
    models = {suite: data.models_of(suite) for suite in suites}
    lattices = {suite: ShiftLattice.of(rows[rows["suite"] == suite]) for suite in suites}
    scale = _ColourScale.of(lattices.values())
    columns = min(max(map(len, models.values())), _COLUMNS)
    lines = [
        (suite, models[suite][first : first + columns])
        for suite in suites
        for first in range(0, len(models[suite]), columns)
    ]
    blocks = [block for _, block in lines]
    titled = [block != above for block, above in zip(blocks, [None, *blocks], strict=False)]
    titles = short_names(data.models, 2 * _TITLE)
    width, height = 2.0 + 1.1 * columns, max(3.6, 0.6 + 1.1 * len(lines) + 0.3 * sum(titled))
    with style():
        figure = new_figure(width, height)
        grid = figure.subplots(len(lines), columns, squeeze=False)
        for number, ((suite, block), panels) in enumerate(zip(lines, grid, strict=True)):
            for panel, model in zip(panels, block, strict=False):
                _draw(panel, lattices[suite], model, scale)
                if titled[number]:
                    panel.set_title(_two_lines(titles[model]), fontsize=FONT)
            for panel in panels[1 : len(block)]:
                panel.set_yticks([])
            for panel in panels[len(block) :]:
                panel.set_visible(False)
            panels[0].set_ylabel(f"{plain(shorten(suite, 20))}\nshift dy [pixels]")
        widths = {lattice.cell for lattice in lattices.values() if lattice.thinned}
        cells = f" (cells of up to {max(widths)} pixels)" if widths else ""
        figure.supxlabel(f"shift dx [pixels]{cells}", fontsize=FONT)
        colours = ScalarMappable(scale.norm, scale.colours)
        bar = figure.colorbar(
            colours,
            ax=grid,
            extend=scale.extend,
            aspect=8 * height,
            pad=0.12 / width,
            extendfrac=0.15 / height,
        )
        bar.set_label(scale.label)
    return figure


@dataclass(frozen=True, eq=False)
class ShiftLattice:
    """The mean NMSE of each model over cases, on the lattice that a suite's shifts lie on.

    Args:
        means: by model, dy × dx, labelled by the first shift of each cell. NaN where there is no
            shift, infinite where an error is NaN or infinite.
        cell: pixels along the side of a cell.
        thinned: whether a cell holds neighbouring shifts, as it does on lattices of more than
            64 positions.
    """

    means: Mapping[str, pd.DataFrame]
    cell: int
    thinned: bool

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "ShiftLattice":
        axes = {name: np.unique(rows[name].to_numpy(dtype=np.int64)) for name in ("dy", "dx")}
        step = gcd(*(int(gap) for values in axes.values() for gap in np.diff(values))) or 1
        longest = max(int(np.ptp(values)) // step + 1 for values in axes.values())
        cell = step * ceil(longest / _CELLS)
        cells = pd.DataFrame({"model": rows["model"], "error": rows["eq_nmse"].fillna(np.inf)})
        starts: dict[str, NDArray[np.int64]] = {}
        for name, values in axes.items():
            starts[name] = np.arange(values[0], values[-1] + 1, cell)
            cells[name] = values[0] + (rows[name] - values[0]) // cell * cell
        grids = {
            str(model): part.pivot_table(
                values="error", index="dy", columns="dx", aggfunc="mean"
            ).reindex(index=starts["dy"], columns=starts["dx"])
            for model, part in cells.groupby("model", sort=False)
        }
        return cls(grids, cell, cell > step)


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

        grids = [grid.to_numpy().ravel() for lattice in lattices for grid in lattice.means.values()]
        means = np.concatenate(grids)
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
    if model not in lattice.means:
        panel.set(xticks=[], yticks=[])
        panel.text(0.5, 0.5, "no rows", ha="center", va="center", transform=panel.transAxes)
        return
    shown = scale.place(lattice.means[model])
    options = {"cmap": scale.colours, "norm": scale.norm, "cbar": False, "square": True}
    bare = {"xticklabels": False, "yticklabels": False, "rasterized": shown.size > 1000}
    sns.heatmap(shown, ax=panel, mask=shown.isna(), **options, **bare)
    for axis, starts in ((panel.xaxis, shown.columns), (panel.yaxis, shown.index)):
        every = ceil(len(starts) / _TICKS)
        at = np.arange(0, len(starts), every)
        axis.set_ticks(at + 0.5, [f"{starts[i]}".replace("-", "−") for i in at], rotation=0)
    panel.set(xlabel="", ylabel="")
    panel.tick_params(length=2, pad=1, labelsize=FONT - 1)
    for spine in panel.spines.values():
        spine.set(visible=True, color="0.8", linewidth=0.6)


def _two_lines(title: str) -> str:
    """A name of at most twice 16 characters, to fit above its panel."""
    return "\n".join(plain(title[i : i + _TITLE]) for i in range(0, len(title), _TITLE))
