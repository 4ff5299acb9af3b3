"""Commands that measure: quickstart, run."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equibench.commands.common_options import (
    Data,
    Device,
    Isolate,
    Out,
    TrustPickle,
    interrupted,
    model_option,
    roots,
    suite_option,
)
from equibench.commands.reporting import finish, report, show
from equibench.errors import UsageError
from equibench.registry import completion

if TYPE_CHECKING:
    from equibench.runs.run_folder import RunFolder

__all__ = ["quickstart", "run"]


def quickstart(
    out: Out = Path("equibench-runs/quickstart"),
    device: Device = "auto",
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
        model_option("NAME[,key=value]… or FILE.py:ATTR; repeatable."),
    ] = None,
    suite: Annotated[
        list[str] | None,
        suite_option("NAME[,key=value]…; repeatable."),
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
            autocompletion=completion.transforms,
            help="crop:margin=16 | d4 | fourier | tile | intensity, …; repeatable.",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp64, tf32, bf16 or fp16.")] = None,
    screen: Annotated[
        str | None, typer.Option(help="tf32 or bf16: find the worst shifts in it, confirm in fp32.")
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Images per forward pass, or auto.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many cases.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.metrics,
            help="nmse,psnr,ssim or agreement,iou,dice; the suite's own by default.",
        ),
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
        "screen": screen,
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


def _run(fields: dict[str, Any], source: str, out: Path | None) -> "RunFolder":
    from equibench.measurement.run_config import validated
    from equibench.runs.runner import run as measure

    config = validated(fields, source)
    out = out or Path("equibench-runs") / config.digest
    try:
        return measure(config, out)
    except KeyboardInterrupt:
        raise interrupted() from None
