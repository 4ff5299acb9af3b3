"""A result in a notebook: its table as HTML, and its figures in line."""

import io
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from equibench.errors import UsageError
from equibench.evaluation.evaluate import Result
from equibench.registry.registries import DISPLAYS
from equibench.reports.figures.figure_files import FIGURES, save
from equibench.reports.figures.style import PAGE
from equibench.reports.findings.run_data import RunData
from equibench.reports.tables import writers
from equibench.reports.tables.summary_table import as_table, summary_table
from equibench.statistics.summary import kept_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawing", "Plot", "html", "text"]

_DPI = 110

_OF_SHIFTS = ("heatmap", "power-of-two")


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure that a notebook shows, whatever its matplotlib backend."""

    figure: "Figure"

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        save(self.figure, stream, "png", _DPI)
        return stream.getvalue()


@DISPLAYS.register("plot", extra="report", modules=("matplotlib", "seaborn"))
class Plot:
    """The figures of a result; every width is in inches."""

    def __init__(self, result: Result) -> None:
        self._data = _data(result)

    def distribution(self, width: float = PAGE) -> Drawing:
        """Every error of every model, with median and worst."""
        return self._drawn("distribution", width)

    def heatmap(self, width: float = PAGE) -> Drawing:
        """Mean error over cases at each shift (dy, dx)."""
        return self._drawn("heatmap", width)

    def pareto(self, width: float = PAGE) -> Drawing:
        """Worst ΔPSNR against PSNR.

        Raises:
            UsageError: no suite has a ground truth.
        """
        return self._drawn("pareto", width)

    def power_of_two(self, width: float = PAGE) -> Drawing:
        """Mean error of shifts by multiples of 1, 2, 4, …"""
        return self._drawn("power-of-two", width)

    def ranking(self, width: float = PAGE) -> Drawing:
        """Mean error with its interval, and the worst, of every model."""
        return self._drawn("ranking", width)

    def _drawn(self, name: str, width: float) -> Drawing:
        figure: Any = FIGURES[name](self._data, width)
        if figure is None:
            if name in _OF_SHIFTS:
                raise UsageError(f"{name} needs circular shifts: name some with shifts=")
            raise UsageError(f"{name} needs a ground truth: choose a suite that has one")
        return Drawing(figure)


@DISPLAYS.register("text")
def text(result: Result) -> str:
    """The summary as a table of text, and what it is a summary of."""
    rows, width = result.rows, get_terminal_size((120, 24)).columns
    table = summary_table(kept_apart(result.summary), format="text", width=width)
    cases = rows.groupby(["suite", "case"], observed=True).ngroups
    return f"{table.rstrip()}\n\n{len(rows)} rows of {cases} cases: .rows; the summary: .summary"


@DISPLAYS.register("html")
def html(result: Result) -> str:
    """The summary as an HTML table."""
    return writers.html(as_table(kept_apart(result.summary)))


def _data(result: Result) -> RunData:
    return RunData(lambda: kept_apart(result.rows), kept_apart(result.summary), {}, ())
