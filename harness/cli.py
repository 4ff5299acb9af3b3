"""The command line; the only module that knows every room."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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
Shown = Annotated[
    Literal["table", "json", "junit", "github"], typer.Option("--format", help="How it is written.")
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
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="All shifts of what has no residue classes.")
    ] = False,
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
        "exhaustive": exhaustive or None,
        "data": _roots(data),
    }
    given = {name: value for name, value in options.items() if value not in (None, [], {})}
    if not config and not (model and suite):
        raise UsageError("run needs a model and a suite: -m unet-baseline -s mri-sample")
    fields = read_config(config) if config else {}
    if model or suite:
        fields.pop("also", None)  # further models, with suites of their own
    fields |= given
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


@app.command()
def probe(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model, as for run -m.")],
    suite: Annotated[
        str, typer.Option("-s", "--suite", metavar="SUITE", help="Whose images are tried.")
    ] = "mri-sample",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, fp64, tf32, bf16 or fp16.")] = "fp32",
    seed: Annotated[int, typer.Option(help="Of the noise and of untrained networks.")] = 0,
    data: Data = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="Where figures are written.")
    ] = None,
) -> None:
    """Find a model's total stride, and whether its boundaries are circular, by trying.

    \b
    Examples:
      equibench probe unet-aps-3,width=0.125,weights=mri-sample
      equibench probe repo/net.py:build -s photo-sample -o probed
    """
    from equibench.config import validated
    from equibench.evaluation import Evaluation
    from equibench.loading import case_names, load_model
    from equibench.reports.probe import error_map, probe_text
    from equibench.settings import Settings
    from equibench.specs import Spec

    options = {"device": device, "precision": precision, "seed": seed}
    config = validated({"models": [model], "suites": [suite], **options}, "probe")
    images = _suite(suite, data)
    loaded = load_model(Spec.parse(model), seed)
    declared = loaded.provenance["details"].get("total_stride")
    settings = Settings.of(config)
    evaluation = Evaluation(loaded.model, loaded.label, images, settings, declared)
    found = evaluation.probe(case_names(images))
    typer.echo(probe_text(found, loaded.label, images.label))
    if out is not None and found.error is not None:
        for file in error_map(found, out):
            typer.echo(f"where it breaks: {file}")


@app.command()
def train(
    variant: Annotated[
        str, typer.Argument(metavar="VARIANT", help="A network: NAME[,key=value]… or FILE.py:ATTR.")
    ],
    suite: Annotated[
        str, typer.Option("-s", "--suite", metavar="SUITE", help="What it is trained on.")
    ],
    preset: Annotated[
        str | None,
        typer.Option(help="paper-mri, paper-ct, sample or sample-ct; by default the suite's."),
    ] = None,
    width: Annotated[float | None, typer.Option(help="Short for VARIANT,width=….")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images per step, over all devices.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam, at the start.")] = None,
    lr_step: Annotated[int | None, typer.Option(help="Epochs between changes of it.")] = None,
    lr_factor: Annotated[float | None, typer.Option(help="What it is multiplied by then.")] = None,
    clip: Annotated[float | None, typer.Option(help="Largest gradient norm; 0 for any.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of random crops; 0 for none.")] = None,
    crops: Annotated[int | None, typer.Option(help="Times each image is taken an epoch.")] = None,
    shift_augment: Annotated[
        int | None, typer.Option(metavar="N", help="Shift batches by −N … N − 1 pixels.")
    ] = None,
    error_augment: Annotated[
        float | None, typer.Option(metavar="N", help="Amplify the inputs' errors up to N times.")
    ] = None,
    freeze_norm: Annotated[
        int | None, typer.Option(help="Epochs after which batch norm is fixed; 0 for never.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, crops and shifts.")] = 0,
    half: Annotated[bool, typer.Option("--half", help="Store the weights as float16.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(help="How many of them.")] = 1,
    strategy: Annotated[str, typer.Option(help="Lightning's, for several: ddp, fsdp …")] = "auto",
    precision: Annotated[str, typer.Option(help="32-true, 16-mixed or bf16-mixed.")] = "32-true",
    workers: Annotated[int, typer.Option(help="Processes that load images, each device.")] = 0,
    data: Data = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="The weights, safetensors.")
    ] = None,
) -> None:
    """Train a network on a suite; the same command again resumes after an interrupt.

    \b
    Examples:
      equibench train unet-aps-3 -s mri-sample --preset sample --width 0.125
      equibench train unet-baseline -s fastmri --shift-augment 16 -o baseline-da.safetensors
    """
    from equibench.registry import MODELS
    from equibench.specs import Spec, slug

    if importlib.util.find_spec("pytorch_lightning") is None:
        raise UsageError("train needs pytorch_lightning; pip install 'equibench[train]'")
    from equibench.models.recipes import preset_for, recipe
    from equibench.models.training import Hardware
    from equibench.models.training import train as fit

    network, images = Spec.parse(variant), Spec.parse(suite)
    if width is not None:
        network = replace(network, arguments={**network.arguments, "width": width})
    MODELS.get(network.reference).check(network.arguments)
    preset = preset or preset_for(images.reference)
    chosen = recipe(
        preset,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        lr_step=lr_step,
        lr_factor=lr_factor,
        clip=clip,
        crop=crop,
        crops=crops,
        shift_augment=shift_augment,
        error_augment=error_augment,
        freeze_norm=freeze_norm,
    )
    augmented = "-da" if chosen.shift_augment else ""
    name = f"{slug(network.reference)}{augmented}.safetensors"
    out = out or Path("weights") / slug(images.reference) / name
    hardware = Hardware(device, devices, strategy, precision, workers)
    try:
        trained = fit(
            network, images, chosen, out, preset=preset, seed=seed, half=half, data=_roots(data),
            hardware=hardware,
        )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo(f"\nequibench: interrupted; the same command goes on with {out}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    quality = " · ".join(f"{name} {value:.4g}" for name, value in trained["validation"].items())
    typer.echo(f"validation: {quality}\nweights: {out}")


@app.command()
def check(
    run: Run,
    against: Annotated[
        Path,
        typer.Option("--against", metavar="BASELINE", help="A baseline file, or a run folder."),
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Make this run the baseline from now on.")
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
    from equibench.baseline import Baseline
    from equibench.gate import failed, judge
    from equibench.store import RunFolder
    from equibench.tolerance import parse_tolerance, read_tolerances
    from equibench.verdicts import render

    rules = read_tolerances(config) if config else []
    rules += [parse_tolerance(text) for text in tolerance or []]
    folder = RunFolder(run)
    found = Baseline.of_run(folder)
    if update:
        if against.is_dir():
            raise UsageError(f"--update writes a file, and {against} is a folder: name a file")
        if folder.failures:
            raise UsageError(
                f"no baseline is written: {len(folder.failures)} units of {run} failed, first: "
                f"{folder.failures[0]['message']}"
            )
        found.write(against)
        typer.echo(f"baseline: {against}")
        return
    verdicts = judge(Baseline.read(against), found, rules)
    typer.echo(render(verdicts, format, f"{run} against {against}"))
    if failed(verdicts):
        raise typer.Exit(1)


@app.command("compare")
def compare_runs(
    before: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    after: Annotated[Path, typer.Argument(metavar="RUN", help="The one that may be worse.")],
    format: Shown = "table",
) -> None:
    """Show two runs side by side, pair by pair; the exit status is 1 where the second is worse.

    \b
    Examples:
      equibench compare runs/before runs/now
      equibench compare runs/before runs/now --format json
    """
    from equibench.comparison import compare
    from equibench.gate import failed
    from equibench.store import RunFolder
    from equibench.verdicts import render

    verdicts = compare(RunFolder(before), RunFolder(after))
    typer.echo(render(verdicts, format, f"{after} against {before}"))
    if failed(verdicts):
        raise typer.Exit(1)


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
