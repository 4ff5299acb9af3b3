"""Commands that look into one network: probe, prove, halo."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from equibench.commands.common_options import (
    Data,
    Device,
    Isolate,
    Model,
    Precision,
    TrustPickle,
    suite_of,
    suite_option,
)
from equibench.errors import UsageError

if TYPE_CHECKING:
    from equibench.evaluation.model_on_suite import Evaluation

__all__ = ["halo", "probe", "prove"]


def probe(
    model: Model,
    suite: Annotated[
        str,
        suite_option("Whose images are tried."),
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
    device: Device = "auto",
    precision: Precision = "fp32",
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

    if layers + levels + (sizes is not None) > 1:
        raise UsageError("--layers, --levels and --sizes answer one question each: name one")
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


def prove(
    model: Model,
    size: Annotated[
        str, typer.Option("--size", metavar="N", help="Of the images in pixels: N, HxW or DxHxW.")
    ],
    channels: Annotated[int, typer.Option("--channels", help="Of the images.")] = 1,
    dims: Annotated[
        int, typer.Option("--dims", help="With --size N: 1 for signals, 2 images, 3 volumes.")
    ] = 2,
    steps: Annotated[
        bool, typer.Option("--steps", help="Show the certificate, one operator a line.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
    seed: Annotated[int, typer.Option(help="Of untrained networks.")] = 0,
    trust_pickle: TrustPickle = False,
) -> None:
    """Prove which shifts commute with a model by reading its operators, or name what breaks it.

    Exit status 1 if it is not proved.

    \b
    Examples:
      equibench prove unet-lpf-3,width=0.125 --size 320
      equibench prove repo/net.py:build --size 256x320 --json
    """
    from equibench.evidence.proof import prove as read
    from equibench.loading.load import load_spec
    from equibench.registry.specs import Spec

    parts = size.lower().replace("×", "x").split("x")
    sizes = parts * dims if len(parts) == 1 else parts
    if not all(map(str.isdecimal, sizes)) or not 1 <= len(sizes) <= 3:
        raise UsageError(
            f"--size {size} is no size: write --size 320 or --size 256x320, of volumes --size "
            "64x64x64, of signals --size 320 --dims 1"
        )
    loaded = load_spec(Spec.parse(model), seed, trust_pickle=trust_pickle)
    proof = read(loaded.model, tuple(map(int, sizes)), channels=channels, label=loaded.label)
    if as_json:
        typer.echo(json.dumps(proof.described, indent=1))
    else:
        typer.echo(proof.certificate() if steps else str(proof))
    if not proof.proved:
        raise typer.Exit(1)


def halo(
    model: Model,
    suite: Annotated[
        str,
        suite_option("Whose images are cut into tiles."),
    ] = "photo-sample",
    device: Device = "auto",
    precision: Precision = "fp32",
    seed: Annotated[int, typer.Option(help="Of untrained networks.")] = 0,
    data: Data = None,
    trust_pickle: TrustPickle = False,
    isolate: Isolate = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="Where figures are written.")
    ] = None,
) -> None:
    """Find the halo and the grid with which tiles of an image fit together without a seam.

    Exit status 1 if no halo helps.

    \b
    Examples:
      equibench halo deepinv-dncnn
      equibench halo repo/net.py:build -s noise,size=512 -o tiled
    """
    from equibench.evaluation.model_on_suite import Evaluation
    from equibench.evidence.stride_probing import PROBED
    from equibench.foundation.validation import checked
    from equibench.loading.load import load_spec
    from equibench.loading.suites import case_names
    from equibench.measurement.run_config import Conditions
    from equibench.measurement.settings import Settings
    from equibench.registry.specs import Spec
    from equibench.reports.diagnosis.halo import halo_figure, halo_text

    fields = {"device": device, "precision": precision, "seed": seed}
    settings = Settings.of(checked(Conditions, fields, "halo"))
    images = suite_of(suite, data)
    loaded = load_spec(Spec.parse(model), seed, trust_pickle=trust_pickle, isolate=isolate)
    evaluation = Evaluation(loaded.model, loaded.label, images, settings)
    found = evaluation.tiling(case_names(images, PROBED))
    typer.echo(halo_text(found, loaded.label, images.label, loaded.model))
    for file in halo_figure(found, out) if out is not None else []:
        typer.echo(f"figure: {file}")
    if not found.fits:
        raise typer.Exit(1)


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
