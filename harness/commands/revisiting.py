"""Commands on runs that are stored: rescore, merge, show, diff."""

import re
from pathlib import Path
from typing import Annotated

import typer

from equibench.commands.common_options import Out, Run, run_argument
from equibench.commands.opened_runs import opened
from equibench.commands.reporting import show as show_table
from equibench.registry import completion

__all__ = ["diff", "merge", "rescore", "show"]

_MOST = 20
"""Figures that diff lists."""


def rescore(
    run: Run,
    metrics: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            autocompletion=completion.metrics,
            help="agreement,iou or ssim-columns, …",
        ),
    ],
    out: Out = None,
) -> None:
    """Compute other metrics from the outputs that a run kept, without its networks.

    \b
    Examples:
      equibench run -m unet-aps,width=0.125 -s mri-sample --keep-outputs --out runs/kept
      equibench rescore runs/kept --metrics ssim-columns --out runs/rescored
    """
    from equibench.postprocessing.rescoring import rescore as rescored

    folder = opened(run)
    target = out or Path(f"{run.resolve()}-rescored")
    show_table(rescored(folder, re.split("[,/]", metrics), target))


def merge(
    runs: Annotated[
        list[Path],
        run_argument("Two or more run folders.", "RUN..."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new run folder.")],
) -> None:
    """Put runs of other models or suites, measured under equal conditions, into one folder.

    \b
    Examples:
      equibench merge runs/ours runs/theirs --out runs/all
    """
    from equibench.postprocessing.merging import merge as merged

    show_table(merged([opened(run) for run in runs], out))


def show(
    run: Run,
    case: Annotated[str, typer.Argument(metavar="CASE", help="A case, as rows name it.")],
    dy: Annotated[int, typer.Argument(metavar="DY", help="Of the shift, in pixels.")],
    dx: Annotated[int, typer.Argument(metavar="DX", help="Of the shift, in pixels.")],
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", metavar="LABEL", help="Only this one; repeatable."),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option("-s", "--suite", metavar="LABEL", help="Only this one; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="Where the figure is written.")
    ] = None,
) -> None:
    """Run one row again, and show it: input, both outputs, their difference.

    \b
    Examples:
      equibench show equibench-runs/quickstart brain1:000 -3 5
      equibench show equibench-runs/quickstart brain1:000 -3 5 -m unet-aps -o shown
    """
    from equibench.postprocessing.chosen_rows import rows_at
    from equibench.registry.registries import REPORTS
    from equibench.registry.specs import slug
    from equibench.reports.diagnosis.row_picture import row_figure, row_text
    from equibench.reports.findings.run_data import RunData

    REPORTS.get("figures").require()
    folder = opened(run)
    rows = rows_at(folder, case, (dy, dx), model, suite)
    name = f"{slug(case)}_{dy}_{dx}"
    for row in rows.to_dict("records"):
        typer.echo(row_text(row))
    for file in row_figure(RunData.read(folder), rows, (out or Path()) / name):
        typer.echo(f"figure: {file}")


def diff(
    before: Run,
    after: Annotated[Path, run_argument("Another one.")],
) -> None:
    """Say what is other in the second run: in what was asked for, and in the numbers.

    Nothing is judged, and the exit status is 0: `check` and `compare` do that.

    \b
    Examples:
      equibench diff runs/before runs/now
    """
    from equibench.postprocessing.differences import differences

    found = differences(opened(before), opened(after))
    for title, lines in (
        ("asked for", found.conditions),
        ("machine and versions", found.surroundings),
        (f"only in {before}", found.only[0]),
        (f"only in {after}", found.only[1]),
    ):
        for line in lines:
            typer.echo(f"{title}: {line}")
    for figure in found.figures[:_MOST]:
        change = "" if figure.share != figure.share else f" ({figure.share:+.2g})"
        values = f"{figure.before:.6g} → {figure.after:.6g}"
        typer.echo(f"{figure.place}: {figure.name} {values}{change}")
    if len(found.figures) > _MOST:
        typer.echo(f"… and {len(found.figures) - _MOST} more figures")
    total = found.equal + len(found.figures)
    rows, both = found.rows
    typer.echo(
        f"equal to the last bit: {found.equal} of {total} figures, {rows} of {both} rows that both "
        "runs have"
    )
