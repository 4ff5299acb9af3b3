"""Commands that hold runs against each other: check, compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equibench.commands.common_options import Run, Shown
from equibench.commands.opened_runs import opened, say_failures
from equibench.errors import UsageError

if TYPE_CHECKING:
    from equibench.guard.baseline import Baseline
    from equibench.guard.gate import Verdict
    from equibench.guard.tolerance import Tolerance

__all__ = ["check", "compare_runs"]


def check(
    run: Run,
    against: Annotated[
        Path,
        typer.Option("--against", metavar="BASELINE", help="A baseline file, or a run folder."),
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Make this run the baseline from now on.")
    ] = False,
    worse: Annotated[
        bool, typer.Option("--worse", help="With --update: also where figures get worse.")
    ] = False,
    format: Shown = "table",
    tolerance: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=SHARE", help="eq_nmse=0.2,suite=mri-*; repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML with [[tolerance]] tables.")
    ] = None,
) -> None:
    """Hold a run against a baseline; the exit status is 1 where it is worse.

    \b
    Examples:
      equibench check runs/now --against equivariance.json --update
      equibench check runs/now --against equivariance.json --format github
      equibench check runs/now --against runs/before --tolerance eq_nmse=0.2,suite=noise
    """
    from equibench.guard.baseline import Baseline
    from equibench.guard.gate import failed, judge
    from equibench.guard.tolerance import parse_tolerance, read_tolerances
    from equibench.guard.verdict_formats import render

    rules = read_tolerances(config) if config else []
    rules += [parse_tolerance(text) for text in tolerance or []]
    folder = opened(run)
    found = Baseline.of_run(folder)
    if worse and not update:
        raise UsageError("--worse is for --update: it lets a baseline get worse")
    if update:
        if against.is_dir():
            raise UsageError(f"--update writes a file, and {against} is a folder: name a file")
        if folder.failures:
            raise UsageError(
                f"no baseline is written: {len(folder.failures)} units of {run} failed, first: "
                f"{folder.failures[0]['message']}"
            )
        lost = _lost(against, found, rules)
        if lost and not worse:
            typer.echo(
                f"{against} is not updated: {len(lost)} figures would be worse; if this is meant, "
                "add --worse",
                err=True,
            )
            raise typer.Exit(1)
        found.write(against)
        typer.echo(f"baseline: {against}")
        return
    before = Baseline.of_run(opened(against)) if against.is_dir() else Baseline.read(against)
    verdicts = judge(before, found, rules)
    say_failures(folder)
    typer.echo(render(verdicts, format, f"{run} against {against}"))
    if failed(verdicts):
        raise typer.Exit(1)


def _lost(against: Path, found: "Baseline", rules: list["Tolerance"]) -> list["Verdict"]:
    """What an update would make worse, said with all else that fails against the baseline.

    One that cannot be read has nothing to lose.
    """
    from equibench.guard.baseline import Baseline
    from equibench.guard.gate import failed, judge, worse

    if not against.exists():
        return []
    try:
        before = Baseline.read(against)
    except UsageError as error:
        typer.echo(f"{error}; it is replaced", err=True)
        return []
    verdicts = judge(before, found, rules)
    for verdict in failed(verdicts):
        typer.echo(str(verdict))
    return worse(verdicts)


def compare_runs(
    before: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    after: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="The one that may be worse.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Compare the models of one run with this one."),
    ] = None,
    format: Shown = "table",
) -> None:
    """Show two runs side by side, pair by pair; the exit status is 1 where the second is worse.

    With --against, the models of one run are compared with one of them; the exit status is 1 where
    one is worse. Comparing nothing is an error.

    \b
    Examples:
      equibench compare runs/before runs/now
      equibench compare runs/before runs/now --format json
      equibench compare runs/now --against unet-baseline
    """
    from equibench.guard.comparison import compare, compare_models
    from equibench.guard.gate import failed
    from equibench.guard.verdict_formats import render

    if (after is None) == (against is None):
        raise UsageError("compare takes two runs, or one and --against MODEL")
    first = opened(before)
    if after is None:
        title = f"{before}: models against {against}"
        verdicts = compare_models(first, str(against))
    else:
        second = opened(after)
        title = f"{after} against {before}"
        verdicts = compare(first, second)
        say_failures(second)
    say_failures(first)
    typer.echo(render(verdicts, format, title))
    if failed(verdicts):
        raise typer.Exit(1)
