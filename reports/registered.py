"""The reports by name; what makes them is imported when one is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from equibench.registry.registries import register_report

if TYPE_CHECKING:
    from equibench.runs.run_folder import RunFolder

__all__ = ["IMAGE_SECONDS", "figures", "html", "tables"]

IMAGE_SECONDS = 20.0
"""How long models are run again for the images of their worst cases."""


@register_report(
    "html",
    summary="one self-contained page: tables, charts, worst cases, provenance",
    extra="report",
    modules=("jinja2", "PIL"),
)
def html(run: "RunFolder", out: Path, image_seconds: float = IMAGE_SECONDS) -> list[Path]:
    """Write ``index.html`` below ``out``; a run with nothing but failures has a page as well."""
    from equibench.reports.findings.run_data import RunData
    from equibench.reports.page.page import write_page

    return [write_page({run.path.resolve().name: RunData.read(run)}, out, image_seconds)]


@register_report(
    "figures",
    summary="ranking, distribution, error by shift and by power of two, quality, as PDF and PNG",
    extra="report",
    modules=("matplotlib", "seaborn"),
)
def figures(run: "RunFolder", out: Path, only: Sequence[str] = ()) -> list[Path]:
    """Write ``figures/NAME`` at two-column width and ``figures/NAME-column``, as PDF and PNG.

    A run without rows has no figures, and one without a ground truth no ``pareto``.

    Args:
        only: names of figures; all by default.
    """
    from equibench.reports.figures.figure_files import write_figures
    from equibench.reports.findings.run_data import RunData

    return write_figures(RunData.read(run), out / "figures", only)


@register_report(
    "tables",
    summary="summary, leaderboard and error by power of two, as CSV, Markdown and LaTeX",
)
def tables(run: "RunFolder", out: Path, only: Sequence[str] = ()) -> list[Path]:
    """Write ``tables/NAME.csv``, ``.md`` and ``.tex`` below ``out``.

    Args:
        only: names of tables; all by default.
    """
    from equibench.reports.findings.run_data import RunData
    from equibench.reports.tables.table_files import write_tables

    return write_tables(RunData.read(run), out / "tables", only)
