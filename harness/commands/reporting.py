"""Commands that show what was measured: table, report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equibench.commands.options import Format, Run
from equibench.errors import EquibenchError, UnavailableError, UsageError

if TYPE_CHECKING:
    from equibench.store import RunFolder

__all__ = ["finish", "report", "show", "table"]


def table(
    run: Run,
    format: Annotated[Format, typer.Option(help="How it is written.")] = "markdown",
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="mean,ci,median,q95,worst,at,flips,floor,shifts …"),
    ] = None,
) -> None:
    """Show the summary of a run.

    \b
    Examples:
      equibench table equibench-runs/quickstart
      equibench table equibench-runs/quickstart --format latex > table.tex
      equibench table equibench-runs/quickstart --columns mean,ci,q95,worst,flips
    """
    from equibench.store import RunFolder

    folder = RunFolder(run)
    typer.echo(_table(folder, format, (columns or "").replace(",", " ").split()))
    state = folder.manifest.get("state")
    if state != "finished":
        lacking, units = len(folder.lacking), folder.units
        missed = f" and lacks {lacking} of {units} units" if lacking else ""
        typer.echo(f"not all of it: this run is {state}{missed}; its command resumes it", err=True)
    _show_failures(folder)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where it is written.")],
    paper: Annotated[
        bool, typer.Option("--paper", help="Tables 1 to 4 of the paper as well, runs together.")
    ] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Figures 1, 2 and 4 of the paper as well.")
    ] = False,
    suite: Annotated[
        str | None, typer.Option("-s", "--suite", metavar="SUITE", help="Of Figure 4.")
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
) -> None:
    """Write the page, the tables and the figures of a run.

    \b
    Examples:
      equibench report equibench-runs/quickstart -o report
      equibench report --paper runs/table1 runs/table3 -o report
      equibench report --figures runs/table1 -o report --shift 8,5
    """
    from equibench.registry import REPORTS
    from equibench.store import RunFolder

    if not figures and (suite, case, shift, model) != (None,) * 4:
        raise UsageError("--suite, --case, --shift and --model choose what --figures shows: add it")
    if figures and len(runs) > 1:
        raise UsageError("--figures takes one run")
    names = [path.resolve().name for path in runs]
    if len(set(names)) < len(names):
        raise UsageError("two runs have the same folder name: report them one by one")
    folders = [RunFolder(path) for path in runs]
    for name, folder in zip(names, folders, strict=True):
        target = out if len(runs) == 1 else out / name
        for entry in REPORTS.entries():
            try:
                write = entry.require()
            except UnavailableError as error:  # a broken plugin stops nobody else
                typer.echo(f"left out: {error}", err=True)
                continue
            with _writing(target):
                written = write(folder, target)
            if entry.name == "html":
                typer.echo(f"report: {written[0]}")
    if paper:
        from equibench.reports.data import RunData
        from equibench.reports.page import write_joint_page
        from equibench.reports.paper_text import write_paper_tables

        data = {name: RunData.read(folder) for name, folder in zip(names, folders, strict=True)}
        with _writing(out):
            typer.echo(write_paper_tables(data, out))
            if len(runs) > 1:
                typer.echo(f"report: {write_joint_page(data, out)}")
    if figures:
        from equibench.reports.choice import Asked
        from equibench.reports.paper_figures import write_paper_figures

        REPORTS.get("figures").require()
        asked = Asked.parse(suite, case, shift, model)
        with _writing(out):
            typer.echo(f"figure 4: {write_paper_figures(folders[0], out, asked)}")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EquibenchError(
            f"cannot write the report to {target}: {error.strerror}; choose another -o"
        ) from error


def show(folder: "RunFolder") -> None:
    """The table, then what failed, then where it all is."""
    if folder.has_rows:
        typer.echo(_table(folder, "markdown"))
    _show_failures(folder)
    typer.echo(f"run: {folder.path}")


def _show_failures(folder: "RunFolder") -> None:
    messages = dict.fromkeys(failure["message"] for failure in folder.failures)
    for message in list(messages)[:10]:
        typer.echo(f"failed: {message}", err=True)
    if len(messages) > 10:
        typer.echo(f"… and {len(messages) - 10} more in {folder.path}/failures.json", err=True)


def finish(folder: "RunFolder") -> None:
    if folder.failures:
        raise typer.Exit(1)


def _table(folder: "RunFolder", format: Format, statistics: Sequence[str] = ()) -> str:
    from equibench.reports.data import RunData
    from equibench.reports.tables import summary_table

    data = RunData.read(folder)
    return summary_table(data.summary, format=format, weights=data.weights, statistics=statistics)
