"""Commands that measure: quickstart, run, probe."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from equibench.commands.common_options import (
    Data,
    Isolate,
    Out,
    TrustPickle,
    interrupted,
    roots,
    suite_of,
)
from equibench.commands.reporting import finish, report, show
from equibench.errors import UsageError

if TYPE_CHECKING:
    from equibench.evaluation.model_on_suite import Evaluation
    from equibench.runs.run_folder import RunFolder

__all__ = ["probe", "quickstart", "run"]


def quickstart(
    out: Out = Path("equibench-runs/quickstart"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Measure the paper's nine U-Net variants on the embedded MRI, CT and photo suites.

    Takes about four minutes on two cores; run it again to resume.

    \b
    Examples:
      equibench quickstart
      equibench quickstart --out runs/first --device cpu
    """
    from importlib.resources import files

    from equibench.measurement.run_config import read_config

    assert out is not None
    source = files("equibench") / "quickstart.toml"
    folder = _run(read_config(Path(str(source))) | {"device": device}, "quickstart", out)
    show(folder)
    if not folder.has_rows:
        raise typer.Exit(1)
    report([folder.path], folder.path / "report")
    finish(folder)


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
    transform: Annotated[
        list[str] | None,
        typer.Option(
            "--transform",
            metavar="NAME:PLAN",
            help="crop:margin=16 | d4 | fourier | tile | intensity, …; repeatable.",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp64, tf32, bf16 or fp16.")] = None,
    batch: Annotated[str | None, typer.Option(help="Images per forward pass, or auto.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many cases.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="nmse,psnr,ssim or agreement,iou,dice; the suite's own by default."),
    ] = None,
    frame: Annotated[str | None, typer.Option(help="canonical or reference.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of shifts and of untrained networks.")] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="All shifts of what has no residue classes.")
    ] = False,
    spots: Annotated[
        int | None, typer.Option(help="Spot checks of each case's residue classes.")
    ] = None,
    seed_forward: Annotated[
        bool, typer.Option("--seed-forward", help="Make random networks repeatable, if seeds do.")
    ] = False,
    optimize: Annotated[
        str | None, typer.Option(help="fuse, channels-last, compile: several with commas.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="local, or dask: several processes or machines.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Dask cluster that is running.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Of a cluster on this machine; one for each GPU or core.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only every n-th unit of work, from the i-th.")
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="mlflow, wandb or tensorboard[,key=value]…; repeatable."),
    ] = None,
    keep_outputs: Annotated[
        bool, typer.Option("--keep-outputs", help="Keep outputs, for other metrics: rescore.")
    ] = False,
    data: Data = None,
    trust_pickle: TrustPickle = False,
    isolate: Isolate = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the logs of the engine (Dask) as well.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML with these options as fields.")
    ] = None,
    out: Out = None,
) -> None:
    """Measure models on suites, into a run folder; the same command again resumes it.

    A field of the TOML file is the option's long name, but for `models`, `suites` and
    `transforms`, which are lists; options on the command line win.

    \b
    Examples:
      equibench run -m unet-aps-3,width=0.125 -s mri-sample
      equibench run -m repo/net.py:build,channels=32,label=ours -s photo-sample --shifts paper
      equibench run --config bench.toml --device cuda --out runs/gpu
    """
    from equibench.measurement.run_config import read_config

    if verbose:
        logging.getLogger("equibench").setLevel(logging.INFO)
    options: dict[str, Any] = {
        "models": model,
        "suites": suite,
        "shifts": shifts,
        "transforms": transform,
        "device": device,
        "precision": precision,
        "batch": int(batch) if batch and batch.lstrip("-").isdigit() else batch,
        "limit": limit,
        "metrics": re.split("[,/]", metrics) if metrics else None,
        "frame": frame,
        "seed": seed,
        "exhaustive": exhaustive or None,
        "spots": spots,
        "seed_forward": seed_forward or None,
        "optimize": optimize.split(",") if optimize else None,
        "engine": engine or ("dask" if scheduler or workers else None),
        "scheduler": scheduler,
        "workers": workers,
        "shard": shard,
        "track": track,
        "keep_outputs": keep_outputs or None,
        "data": roots(data),
        "trust_pickle": trust_pickle or None,
        "isolate": isolate or None,
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
    show(folder)
    finish(folder)


def probe(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model, as for run -m.")],
    suite: Annotated[
        str, typer.Option("-s", "--suite", metavar="SUITE", help="Whose images are tried.")
    ] = "mri-sample",
    layers: Annotated[
        bool, typer.Option("--layers", help="Measure every layer: which one is to blame.")
    ] = False,
    levels: Annotated[
        bool, typer.Option("--levels", help="Take each level away: which ones are used.")
    ] = False,
    sizes: Annotated[
        str | None,
        typer.Option("--sizes", metavar="A..B", help="At which sizes which shifts commute."),
    ] = None,
    shifts: Annotated[
        str, typer.Option(help="For --layers; a handful, as for run.")
    ] = "random:n=4,max=16",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, fp64, tf32, bf16 or fp16.")] = "fp32",
    seed: Annotated[int, typer.Option(help="Of the noise and of untrained networks.")] = 0,
    data: Data = None,
    trust_pickle: TrustPickle = False,
    isolate: Isolate = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="Where figures are written.")
    ] = None,
) -> None:
    """Find a model's total stride, whether its boundaries are circular, and what breaks, by trying.

    \b
    Examples:
      equibench probe unet-aps-3,width=0.125,weights=mri-sample
      equibench probe unet-baseline,width=0.125 --layers
      equibench probe repo/net.py:build -s photo-sample -o probed
      equibench probe unet-aps,width=0.125 --sizes 64..96
      equibench probe unet-lpf-3,width=0.125,weights=mri-sample --levels
    """
    from equibench.evaluation.model_on_suite import Evaluation
    from equibench.evidence.stride_probing import PROBED
    from equibench.foundation.validation import checked
    from equibench.loading.load import load_spec
    from equibench.loading.suites import case_names
    from equibench.measurement.run_config import Conditions
    from equibench.measurement.settings import Settings
    from equibench.registry.specs import Spec
    from equibench.reports.diagnosis.probe import error_map, layers_text, probe_text

    options = {"device": device, "precision": precision, "seed": seed, "shifts": shifts}
    conditions = checked(Conditions, options, "probe")
    images = suite_of(suite, data)
    loaded = load_spec(Spec.parse(model), seed, trust_pickle=trust_pickle, isolate=isolate)
    for note in loaded.notes:
        typer.echo(f"{loaded.label}: {note}", err=True)
    declared = loaded.provenance["details"].get("total_stride")
    settings = Settings.of(conditions)
    evaluation = Evaluation(loaded.model, loaded.label, images, settings, declared)
    cases = case_names(images, PROBED)
    if sizes is not None:
        _sweep(evaluation, cases, sizes, out)
        return
    if levels:
        _levels(evaluation)
        return
    found = evaluation.probe(cases)
    inside = None if found.periodic else evaluation.inner_stride(cases)
    typer.echo(probe_text(found, loaded.label, images.label, inside))
    written = error_map(found, out) if out is not None and found.error is not None else []
    if layers:
        text, more = layers_text(evaluation, cases, out)
        typer.echo(f"\n{text}")
        written += more
    for file in written:
        typer.echo(f"figure: {file}")


def _levels(evaluation: "Evaluation") -> None:
    """Say which levels of a network its output depends on."""
    from equibench.layers.level_ablation import ablate_levels
    from equibench.measurement.row_table import suite_metrics
    from equibench.reports.diagnosis.levels import levels_text

    settings, suite, label = evaluation.settings, evaluation.suite, evaluation.label
    found = ablate_levels(
        evaluation.model,
        suite,
        device=str(settings.device),
        precision=settings.precision,
        batch=settings.batch,
        label=label,
    )
    typer.echo(levels_text(found, suite_metrics(suite), label, suite.label))


def _sweep(evaluation: "Evaluation", cases: Sequence[str], sizes: str, out: Path | None) -> None:
    """Say at which sizes which shifts commute."""
    from equibench.evaluation.size_sweep import parse_sizes, sweep
    from equibench.reports.diagnosis.sizes import sizes_figure, sizes_text

    wanted = parse_sizes(sizes)
    found = list(
        tqdm(sweep(evaluation, cases, wanted), total=len(wanted), unit="size", leave=False)
    )
    typer.echo(sizes_text(found, evaluation.label, evaluation.suite.label))
    for file in sizes_figure(found, out) if out is not None else []:
        typer.echo(f"figure: {file}")


def _run(fields: dict[str, Any], source: str, out: Path | None) -> "RunFolder":
    from equibench.measurement.run_config import validated
    from equibench.runs.runner import run as measure

    config = validated(fields, source)
    out = out or Path("equibench-runs") / config.digest
    try:
        return measure(config, out)
    except KeyboardInterrupt:
        raise interrupted() from None
