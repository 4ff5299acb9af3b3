"""The figures of a run as files, in one style and at the two widths of a two-column page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equibench.reports.figures.border import border_figure
from equibench.reports.figures.distribution import distribution_figure
from equibench.reports.figures.heatmap import heatmap_figure
from equibench.reports.figures.power_of_two import power_figure
from equibench.reports.figures.quality_front import pareto_figure
from equibench.reports.figures.ranking import ranking_figure
from equibench.reports.figures.style import COLUMN, FONT, PAGE, style
from equibench.reports.findings.run_data import RunData

__all__ = ["DPI", "FIGURES", "MOST", "save", "write", "write_figures"]

DPI = 300

FIGURES = {
    "border": border_figure,
    "distribution": distribution_figure,
    "heatmap": heatmap_figure,
    "pareto": pareto_figure,
    "power-of-two": power_figure,
    "ranking": ranking_figure,
}
"""What draws each figure at a width in inches, by the stem of its files."""

MOST = 24
"""Models in a figure; with more of them, names cannot be read and colours not told apart."""

_WIDTHS = {"": PAGE, "-column": COLUMN}
"""By what the stem ends in."""


def write_figures(data: RunData, folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Write the figures that there are, or only some, at both widths."""
    if data.rows.empty:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    data, note = _readable(data)
    written = []
    for name in only or FIGURES:
        for suffix, width in _WIDTHS.items():
            figure = FIGURES[name](data, width)
            if figure is not None:
                if note:
                    figure.supxlabel(f"{figure.get_supxlabel()}\n{note}", fontsize=FONT)
                written += write(figure, folder / f"{name}{suffix}")
    return written


def _readable(data: RunData) -> tuple[RunData, str]:
    """As many models as a figure can show, the most robust ones; and a note where not all are."""
    if len(data.models) <= MOST:
        return data, ""
    ranked = data.summary.groupby(["suite", "group"])["eq_nmse_mean"].rank(na_option="bottom")
    ranks = ranked.groupby(data.summary["model"], sort=False).mean()
    note = f"the {MOST} most robust of {len(ranks)} models; tables have all of them"
    return data.of_models(ranks.sort_values(kind="stable").index[:MOST]), note


def write(figure: Any, stem: Path, dpi: int = DPI) -> list[Path]:
    """Save a figure as PNG and PDF."""
    written = []
    for suffix in ("png", "pdf"):
        written.append(stem.with_name(f"{stem.name}.{suffix}"))
        save(figure, written[-1], suffix, dpi)
        figure.set_layout_engine("none")  # laid out by now; doing it again takes long
    return written


def save(figure: Any, target: Any, format: str, dpi: int = DPI) -> None:
    """Save a matplotlib figure to a file or a binary stream; equal figures give equal bytes."""
    metadata = {"CreationDate": None} if format == "pdf" else None
    with style():
        figure.savefig(target, format=format, dpi=dpi, metadata=metadata)
