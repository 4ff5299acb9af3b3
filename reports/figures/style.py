"""How figures look, without leaving anything behind in matplotlib's global state."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import ceil
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "COLUMN",
    "FONT",
    "ORANGE",
    "PAGE",
    "ZERO",
    "legend",
    "looks",
    "new_figure",
    "plain",
    "style",
    "trim",
    "wrapped",
]

ZERO = 1e-18
"""An NMSE below this is drawn as 0."""

FONT = 8
BLUE = "#0072b2"
ORANGE = "#d55e00"

_COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7a7a7a")
"""Okabe and Ito's, told apart by every kind of colour vision; yellow, which is faint, left out."""

_CHARACTER = 0.066
"""Width in inches of a character of a note."""

_LEGEND = 4
"""Lines of a legend that the heights of figures leave room for."""

_MARKERS = "osD^vP"

COLUMN, PAGE = 3.5, 7.16
"""Widths in inches of one column and of both on a two-column page."""


@contextmanager
def style() -> Iterator[None]:
    """Settings for drawing and saving, undone at the end."""
    import matplotlib as mpl
    import seaborn as sns

    sizes = dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), FONT)
    sizes |= {"axes.labelsize": FONT, "axes.titlesize": FONT + 1, "font.size": FONT}
    look = {"savefig.facecolor": "white", "pdf.fonttype": 42, "text.usetex": False}
    with mpl.rc_context(sns.axes_style("whitegrid") | sizes | look), warnings.catch_warnings():
        # a name may be in a script that the font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def new_figure(width: float, height: float, pad: float = 0.06) -> "Figure":
    """A figure that pyplot knows nothing of; saving it chooses the backend.

    Args:
        width, height, pad: in inches, the last around each panel.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure((width, height), layout=ConstrainedLayoutEngine(h_pad=pad, w_pad=pad))


def looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each name; 48 names differ in one of them, neighbours in both."""
    colours, markers = len(_COLOURS), len(_MARKERS)
    styles = [
        {"color": _COLOURS[i % colours], "marker": _MARKERS[(i + i // 24) % markers]}
        for i in range(colours * markers)
    ]
    return {name: styles[i % len(styles)] for i, name in enumerate(dict.fromkeys(names))}


def legend(figure: "Figure", width: float) -> None:
    """One legend above all panels, each label once; a long one makes the figure taller.

    Args:
        width: of the figure, in inches.
    """
    handles = {
        text: handle
        for panel in figure.axes
        for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    if handles:
        longest = max(map(len, handles))
        columns = max(1, int(width / (0.35 + 0.065 * longest)))
        further = ceil(len(handles) / columns) - _LEGEND
        figure.set_figheight(figure.get_figheight() + 0.16 * max(0, further))
        figure.legend(
            handles.values(), handles, loc="outside upper center", ncols=columns, frameon=False,
            handletextpad=0.3, columnspacing=1.0,
        )  # fmt: skip


def trim(grid: Any, panels: int) -> None:
    """Remove the panels of a grid that hold nothing; the lowest of each column keeps its labels."""
    for panel in grid.ravel()[panels:]:
        panel.remove()
    columns = grid.shape[1]
    for panel in grid.ravel()[max(0, panels - columns) : panels]:
        panel.xaxis.set_tick_params(labelbottom=True)


def wrapped(notes: Iterable[str], width: float) -> list[str]:
    """Lines of notes below a figure, none longer than the figure is wide, in inches."""
    return [line for note in notes for line in wrap(note, int(width / _CHARACTER))]


def plain(text: str) -> str:
    """Text that matplotlib takes for no formula."""
    return text.replace("$", r"\$")
