"""The figures of a run as files."""

from pathlib import Path
from typing import Any

from equibench.registry import register_report
from equibench.reports.data import RunData
from equibench.reports.distribution import distribution_figure
from equibench.reports.heatmap import heatmap_figure
from equibench.reports.style import style
from equibench.store import RunFolder

__all__ = ["FIGURES", "figures", "save", "write"]

FIGURES = {"distribution": distribution_figure, "heatmap": heatmap_figure}
"""What draws each figure, by the stem of its files."""


@register_report(
    "figures",
    summary="distribution of the error, and the error by shift, as PNG and PDF",
    extra="report",
    modules=("matplotlib", "seaborn"),
)
def figures(run: RunFolder, out: Path) -> list[Path]:
    """Write ``figures/distribution`` and ``figures/heatmap`` below ``out``, as PNG and PDF.

    A run without rows has no figures.
    """
    data = RunData.read(run)
    if data.rows.empty:
        return []
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    return [file for name, draw in FIGURES.items() for file in write(draw(data), folder / name)]


def write(figure: Any, stem: Path, dpi: int = 150) -> list[Path]:
    """Save a figure as PNG and PDF."""
    written = []
    for suffix in ("png", "pdf"):
        written.append(stem.with_name(f"{stem.name}.{suffix}"))
        save(figure, written[-1], suffix, dpi)
        figure.set_layout_engine("none")  # laid out by now; doing it again takes long
    return written


def save(figure: Any, target: Any, format: str, dpi: int = 150) -> None:
    """Save a matplotlib figure to a file or a binary stream; equal figures give equal bytes."""
    metadata = {"CreationDate": None} if format == "pdf" else None
    with style():
        figure.savefig(target, format=format, dpi=dpi, metadata=metadata)
