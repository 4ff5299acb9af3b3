"""Commands that show what was measured: table, report, card."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equibench.commands.common_options import Format, Run, run_argument, suite_option
from equibench.commands.opened_runs import (
    opened,
    say_failures,
    say_shortfall,
    without_rows,
)
from equibench.errors import EquibenchError, UnavailableError, UsageError
from equibench.foundation.atomic_files import replacing
from equibench.foundation.standard_streams import OutputError

if TYPE_CHECKING:
    from equibench.runs.run_folder import RunFolder

__all__ = ["card", "finish", "report", "show", "table"]


def table(
    run: Run,
    format: Annotated[
        Format | None, typer.Option(help="How it is written; text is for a terminal.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="mean,ci,median,q95,worst,at,flips,floor,shifts …"),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="NAMES", help="eq_nmse,eq_ssim,delta_psnr,psnr …")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of summary.csv: eq_nmse_worst, model …")
    ] = None,
) -> None:
    """Show the summary of a run: fitted to a terminal, as Markdown anywhere else.

    \b
    Examples:
      equibench table equibench-runs/quickstart
      equibench table equibench-runs/quickstart --sort eq_nmse_worst --metrics eq_nmse,psnr
      equibench table equibench-runs/quickstart --format latex > table.tex
      equibench table equibench-runs/quickstart --columns mean,ci,q95,worst,flips
    """
    folder = opened(run)
    chosen = {"metrics": _names(metrics), "statistics": _names(columns), "sort": sort}
    given = {name: value for name, value in chosen.items() if value}
    if folder.has_rows:
        typer.echo(_table(folder, format, **given))
    say_shortfall(folder)
    say_failures(folder)
    if not folder.has_rows:
        raise without_rows(folder)


def report(
    runs: Annotated[
        list[Path],
        run_argument("Run folders.", "RUN..."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where it is written.")],
    paper: Annotated[
        bool, typer.Option("--paper", help="Tables 1 to 4 of the paper as well, runs together.")
    ] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Figures 1, 2 and 4 of the paper as well.")
    ] = False,
    suite: Annotated[
        str | None,
        suite_option("Of Figure 4."),
    ] = None,
    case: Annotated[
        str | None, typer.Option(metavar="CASE", help="Of Figure 4; by default the worst.")
    ] = None,
    shift: Annotated[
        str | None, typer.Option(metavar="DY,DX", help="Of Figure 4; by default the worst.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", metavar="LABEL", help="Of Figure 4; give it twice."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help="html,tables,figures, or one of those.")
    ] = None,
    image_seconds: Annotated[
        float, typer.Option(min=0, help="For images of worst cases, made again; 0 for none.")
    ] = 20.0,
) -> None:
    """Write the page, the tables and the figures of a run; of several, a page side by side too.

    \b
    Examples:
      equibench report equibench-runs/quickstart -o report
      equibench report runs/before runs/after -o report --only html
      equibench report runs/table1 -o report --only heatmap,summary
      equibench report --paper runs/table1 runs/table3 -o report
      equibench report --figures runs/table1 -o report --shift 8,5
    """
    from equibench.registry.registries import REPORTS
    from equibench.reports.paper.figure4_choice import Asked
    from equibench.reports.selection import Selection

    if not figures and (suite, case, shift, model) != (None,) * 4:
        raise UsageError("--suite, --case, --shift and --model choose what --figures shows: add it")
    if figures and len(runs) > 1:
        raise UsageError("--figures takes one run")
    asked = Asked.parse(suite, case, shift, model)  # before anything is drawn
    names = [path.resolve().name for path in runs]
    if len(set(names)) < len(names):
        raise UsageError("two runs have the same folder name: report them one by one")
    chosen = Selection.of(_names(only))
    folders = [opened(path) for path in runs]
    for name, folder in zip(names, folders, strict=True):
        target = out if len(runs) == 1 else out / name
        for entry, options in chosen.reports(image_seconds):
            if entry.name == "html" and len(runs) > 1:
                continue  # one page has them all
            try:
                write = entry.require()
            except UnavailableError as error:  # a broken plugin stops nobody else
                typer.echo(f"left out: {error}", err=True)
                continue
            with _writing(target):
                written = write(folder, target, **options)
            if entry.name == "html":
                typer.echo(f"report: {written[0]}")
    if len(runs) > 1 or paper:
        from equibench.reports.findings.run_data import RunData

        data = {name: RunData.read(folder) for name, folder in zip(names, folders, strict=True)}
    if len(runs) > 1 and chosen.has("html"):
        from equibench.reports.page.page import write_page

        with _writing(out):
            typer.echo(f"report: {write_page(data, out, image_seconds)}")
    if paper:
        from equibench.reports.paper.text import write_paper_tables

        with _writing(out):
            typer.echo(write_paper_tables(data, out))
    if figures:
        from equibench.reports.paper.figure_files import write_paper_figures

        REPORTS.get("figures").require()
        with _writing(out):
            typer.echo(f"figure 4: {write_paper_figures(folders[0], out, asked)}")
    for folder in folders:
        say_shortfall(folder)
    for folder in folders:
        if not folder.has_rows:
            raise without_rows(folder)


def card(
    run: Run,
    model: Annotated[str, typer.Argument(metavar="LABEL", help="A model of the run.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="A README.md, brought up to date."),
    ] = None,
) -> None:
    """Write what a run says of a model as a card for the Hugging Face Hub, with metadata.

    \b
    Examples:
      equibench card results/runs/now net
      equibench card results/runs/now net -o README.md
    """
    from equibench.reports.findings.run_data import RunData
    from equibench.reports.model_card import model_card

    folder = opened(run)
    if not folder.has_rows:
        raise without_rows(folder)
    before = out.read_text(encoding="utf-8") if out and out.exists() else ""
    text = model_card(RunData.read(folder), model, before)
    if out is None:
        typer.echo(text)
        return
    with _writing(out), replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(f"card: {out}")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EquibenchError(
            f"cannot write the report to {target}: {error.strerror}; choose another -o"
        ) from error


def show(folder: "RunFolder") -> None:
    """The table, then what failed, then where it all is.

    A run whose rows are there does not fail because they cannot be shown.
    """
    try:
        if folder.has_rows:
            typer.echo(_table(folder, None))
        say_failures(folder)
        typer.echo(f"run: {folder.path}")
    except OutputError as error:
        typer.echo(f"{error or 'not shown'}; all of it is in {folder.path}", err=True)


def finish(folder: "RunFolder") -> None:
    if folder.failures:
        raise typer.Exit(1)


def _names(text: str | None) -> list[str]:
    return (text or "").replace(",", " ").split()


def _table(folder: "RunFolder", format: Format | None, **chosen: Any) -> str:
    """The summary; on a terminal as wide as that, in colour unless ``NO_COLOR`` is set."""
    from equibench.reports.findings.run_data import RunData
    from equibench.reports.tables.summary_table import summary_table

    data, on_terminal = RunData.read(folder), sys.stdout.isatty()
    return summary_table(
        data.summary,
        format=format or ("text" if on_terminal else "markdown"),
        weights=data.weights,
        width=shutil.get_terminal_size((120, 24)).columns,
        colour=on_terminal and not os.environ.get("NO_COLOR"),
        **chosen,
    )
