"""The command line; the only module that knows every room."""

import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from equibench.errors import EquibenchError, UnavailableError, UsageError

if TYPE_CHECKING:
    from equibench.store import RunFolder

__all__ = ["app", "main"]

app = typer.Typer(
    name="equibench",
    help="Measure how far image-to-image networks are from shift equivariance.",
    epilog="Start with: equibench quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Look after the data of suites.", no_args_is_help=True)
app.add_typer(data_app, name="data")

INTERRUPTED = 130


Kind = Literal["models", "suites", "metrics", "reports"]
Format = Literal["markdown", "csv", "latex"]
Out = Annotated[Path | None, typer.Option("--out", help="The run folder.", metavar="DIR")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Where a suite's data are; repeatable.", metavar="SUITE=DIR"),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
SuiteSpec = Annotated[str, typer.Argument(metavar="SUITE", help="A suite, as for run -s.")]


def main() -> None:
    """Run the command line; a user's mistake is one line and an exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names that a locale cannot show stop nobody
            stream.reconfigure(errors="replace")
    try:
        app()
    except EquibenchError as error:
        print(f"equibench: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"equibench {version('equibench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


@app.command()
def quickstart(
    out: Out = Path("equibench-runs/quickstart"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Measure the paper's nine U-Net variants on the embedded MRI, CT and photo suites.

    Takes about three minutes on two cores; run it again to resume.

    \b
    Examples:
      equibench quickstart
      equibench quickstart --out runs/first --device cpu
    """
    from importlib.resources import files

    from equibench.config import read_config

    assert out is not None
    source = files("equibench") / "quickstart.toml"
    folder = _run(read_config(Path(str(source))) | {"device": device}, "quickstart", out)
    _show(folder)
    if not folder.has_rows:
        raise typer.Exit(1)
    report([folder.path], folder.path / "report")
    _finish(folder)


@app.command("ls")
def list_entries(
    kind: Annotated[Kind | None, typer.Argument(help="Which kind; all of them by default.")] = None,
    containing: Annotated[
        str, typer.Argument(metavar="TEXT", help="Only names that contain this.")
    ] = "",
) -> None:
    """Show what is registered, where it comes from and whether it can run here.

    \b
    Examples:
      equibench ls
      equibench ls models aps
    """
    from equibench.listing import listing

    for wanted in [kind] if kind else get_args(Kind):
        typer.echo(listing(wanted, containing))


@app.command()
def run(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m", "--model", metavar="MODEL", help="NAME[,key=value]… or FILE.py:ATTR; repeatable."
        ),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option("-s", "--suite", metavar="SUITE", help="NAME[,key=value]…; repeatable."),
    ] = None,
    shifts: Annotated[
        str | None,
        typer.Option(help="random:n=10,max=16 | grid:max=16,step=4 | all | file:CSV | paper"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp64, tf32, bf16 or fp16.")] = None,
    batch: Annotated[str | None, typer.Option(help="Images per forward pass, or auto.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many cases.")] = None,
    frame: Annotated[str | None, typer.Option(help="canonical or reference.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of shifts and of untrained networks.")] = None,
    data: Data = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML with these options as fields.")
    ] = None,
    out: Out = None,
) -> None:
    """Measure models on suites, into a run folder; the same command again resumes it.

    A field of the TOML file is the option's long name, but for `models` and `suites`, which
    are lists; options on the command line win.

    \b
    Examples:
      equibench run -m unet-aps-3,width=0.125 -s mri-sample
      equibench run -m repo/net.py:build,channels=32,label=ours -s photo-sample --shifts paper
      equibench run --config bench.toml --device cuda --out runs/gpu
    """
    from equibench.config import read_config

    options: dict[str, Any] = {
        "models": model,
        "suites": suite,
        "shifts": shifts,
        "device": device,
        "precision": precision,
        "batch": int(batch) if batch and batch.lstrip("-").isdigit() else batch,
        "limit": limit,
        "frame": frame,
        "seed": seed,
        "data": _roots(data),
    }
    given = {name: value for name, value in options.items() if value not in (None, [], {})}
    if not config and not (model and suite):
        raise UsageError("run needs a model and a suite: -m unet-baseline -s mri-sample")
    fields = (read_config(config) if config else {}) | given
    chosen = fields.pop("out", None)
    out = out or (Path(str(chosen)) if chosen else None)
    folder = _run(fields, str(config) if config else "run", out)
    _show(folder)
    _finish(folder)


@app.command()
def table(
    run: Run,
    format: Annotated[Format, typer.Option(help="How it is written.")] = "markdown",
) -> None:
    """Show the summary of a run.

    \b
    Examples:
      equibench table equibench-runs/quickstart
      equibench table equibench-runs/quickstart --format latex > table.tex
    """
    from equibench.store import RunFolder

    folder = RunFolder(run)
    typer.echo(_table(folder, format))
    state = folder.manifest.get("state")
    if state != "finished":
        typer.echo(f"not all of it: this run is {state}; its command resumes it", err=True)
    _show_failures(folder)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where it is written.")],
) -> None:
    """Write the page, the tables and the figures of a run.

    \b
    Examples:
      equibench report equibench-runs/quickstart -o report
    """
    from equibench.registry import REPORTS
    from equibench.store import RunFolder

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
            try:
                written = write(folder, target)
            except OSError as error:
                raise EquibenchError(
                    f"cannot write the report to {target}: {error.strerror}; choose another -o"
                ) from error
            if entry.name == "html":
                typer.echo(f"report: {written[0]}")


@data_app.command("ls")
def data_list() -> None:
    """Show which suites have their data here.

    \b
    Examples:
      equibench data ls
    """
    from equibench.listing import listing

    typer.echo(listing("suites", ""))


@data_app.command("verify")
def data_verify(suite: SuiteSpec, data: Data = None) -> None:
    """Count files and slices against what the paper used, and name each broken file.

    \b
    Examples:
      equibench data verify fastmri --data fastmri=/data/knee
    """
    found = _suite(suite, data)
    check: Callable[[], Any] | None = getattr(found, "verify", None)
    if check is None:
        raise UsageError(f"suite {found.label!r} has nothing to verify")
    result = check()
    typer.echo(str(result))
    if not result.ok:
        raise typer.Exit(1)


@data_app.command("prepare")
def data_prepare(suite: SuiteSpec, data: Data = None) -> None:
    """Build what a suite computes once: sample images, filtered back projections.

    \b
    Examples:
      equibench data prepare mri-sample
      equibench data prepare lodopab --data lodopab=/data/lodopab
    """
    found = _suite(suite, data)
    cases = found.cases()
    found.load(cases[0])
    typer.echo(f"{found.label}: {len(cases)} cases ready")


def _suite(text: str, data: list[str] | None) -> Any:
    from equibench.loading import build_suite
    from equibench.specs import Spec

    return build_suite(Spec.parse(text), _roots(data))


def _roots(data: list[str] | None) -> dict[str, str]:
    roots = {}
    for text in data or []:
        suite, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UsageError(f"--data {text!r} is not SUITE=DIR")
        roots[suite] = folder
    return roots


def _run(fields: dict[str, Any], source: str, out: Path | None) -> "RunFolder":
    from equibench.config import validated
    from equibench.runner import run as measure

    config = validated(fields, source)
    out = out or Path("equibench-runs") / config.digest
    try:
        return measure(config, out)
    except KeyboardInterrupt:
        typer.echo(f"\nequibench: interrupted; the same command resumes {out}", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _show(folder: "RunFolder") -> None:
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


def _finish(folder: "RunFolder") -> None:
    if folder.failures:
        raise typer.Exit(1)


def _table(folder: "RunFolder", format: Format) -> str:
    from equibench.reports.data import RunData
    from equibench.reports.tables import summary_table

    data = RunData.read(folder)
    return summary_table(data.summary, format=format, weights=data.weights)
