"""Commands that hold runs against each other: check, compare, ci init."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from equibench.commands.common_options import (
    Run,
    Shown,
    Write,
    model_option,
    run_argument,
    suite_option,
)
from equibench.commands.opened_runs import opened, say_failures
from equibench.errors import UsageError
from equibench.registry import completion

if TYPE_CHECKING:
    from equibench.guard.baseline import Baseline
    from equibench.guard.gate import Verdict
    from equibench.guard.tolerance import Tolerance

__all__ = ["check", "ci_init", "compare_runs"]


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
    write: Write = None,
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
    from equibench.guard.verdict_formats import write as write_file

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
        if lost and not worse and not _confirmed(f"store {len(lost)} figures that are worse?"):
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
    for file in write or []:
        write_file(verdicts, file, f"{run} against {against}")
    typer.echo(render(verdicts, format, f"{run} against {against}"))
    if failed(verdicts):
        raise typer.Exit(1)


def _confirmed(question: str) -> bool:
    """What a person at the terminal answers; where there is none, no."""
    return sys.stdin.isatty() and typer.confirm(question, err=True)


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
    before: Run,
    after: Annotated[
        Path | None,
        run_argument("The one that may be worse."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            autocompletion=completion.models,
            help="Compare the models of one run with this one.",
        ),
    ] = None,
    format: Shown = "table",
    write: Write = None,
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
    from equibench.guard.verdict_formats import write as write_file

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
    for file in write or []:
        write_file(verdicts, file, title)
    typer.echo(render(verdicts, format, title))
    if failed(verdicts):
        raise typer.Exit(1)


def ci_init(
    provider: Annotated[
        Literal["github", "gitlab"], typer.Argument(help="GitHub Actions or GitLab CI.")
    ] = "github",
    model: Annotated[
        str | None,
        model_option("The model that is guarded, as for run -m."),
    ] = None,
    suite: Annotated[
        str,
        suite_option("A suite, as for run -s."),
    ] = "noise,n=4,size=64",
    shifts: Annotated[str, typer.Option(help="A shift plan, as for run.")] = "grid:max=8,step=3",
    baseline: Annotated[str, typer.Option(metavar="FILE", help="Of check.")] = "equivariance.json",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a workflow that guards a model in CI: with a cache, annotations and a summary.

    \b
    Examples:
      equibench ci init -m net.py:build,label=net -s mri-sample
      equibench ci init gitlab -m unet-aps-3,width=0.125,weights=mri-sample
    """
    from equibench.foundation.atomic_files import writable
    from equibench.integrations.ci_files import FILES, workflow
    from equibench.registry.registries import MODELS, SUITES
    from equibench.registry.specs import Spec

    if model is None:
        raise UsageError("ci init: which model is guarded? -m net.py:build,label=net, say")
    named = MODELS.get(Spec.parse(model).reference).name
    SUITES.get(Spec.parse(suite).reference)
    source = Path(named.rpartition(":")[0])
    if source.suffix == ".py" and not source.exists():
        raise UsageError(f"-m {model}: there is no file {source} here")

    file = FILES[provider]
    if file.exists() and not force:
        raise UsageError(f"{file} is there already: --force replaces it")
    with writable(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        options = ["-m", model, "-s", suite, "--shifts", shifts]
        file.write_text(workflow(provider, options, baseline), encoding="utf-8")
    typer.echo(f"workflow: {file}")
    if not Path(baseline).exists():
        out = "runs/equivariance"
        command = shlex.join(["equibench", "run", *options, "--out", out])
        update = shlex.join(["equibench", "check", out, "--against", baseline, "--update"])
        typer.echo(f"write the baseline, and commit it:\n  {command}\n  {update}")
