"""Commands that make networks: train, mend."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from equibench.commands.common_options import (
    Data,
    Device,
    Model,
    Precision,
    TrustPickle,
    interrupted,
    roots,
    suite_of,
    suite_option,
)
from equibench.errors import UsageError
from equibench.registry import completion

__all__ = ["mend", "train"]


def train(
    variant: Annotated[
        str,
        typer.Argument(
            metavar="VARIANT",
            autocompletion=completion.models,
            help="A network: NAME[,key=value]… or FILE.py:ATTR.",
        ),
    ],
    suite: Annotated[
        str,
        suite_option("What it is trained on."),
    ],
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="WEIGHTS", help="Begin with these: a file, or packaged ones."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A recipe of the documentation; by default the one that fits the suite."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="regression or segmentation; by default what the preset is for."),
    ] = None,
    width: Annotated[str | None, typer.Option(help="Short for VARIANT,width=….")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images per step, over all devices.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam, at the start.")] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="steps|cosine", help="How the rate falls.")
    ] = None,
    lr_step: Annotated[int | None, typer.Option(help="Epochs between changes of it.")] = None,
    lr_factor: Annotated[float | None, typer.Option(help="What it is multiplied by then.")] = None,
    milestones: Annotated[
        str | None, typer.Option(metavar="A,B…", help="Epochs after which it changes, instead.")
    ] = None,
    warmup: Annotated[int | None, typer.Option(help="Steps over which it rises.")] = None,
    clip: Annotated[float | None, typer.Option(help="Largest gradient norm; 0 for any.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of random crops; 0 for none.")] = None,
    crops: Annotated[int | None, typer.Option(help="Times each image is taken an epoch.")] = None,
    drawn: Annotated[
        int | None, typer.Option(metavar="N", help="Images drawn for an epoch; 0 for the suite's.")
    ] = None,
    shift_augment: Annotated[
        int | None, typer.Option(metavar="N", help="Shift batches by −N … N − 1 pixels.")
    ] = None,
    error_augment: Annotated[
        float | None, typer.Option(metavar="N", help="Amplify the inputs' errors up to N times.")
    ] = None,
    skip_dropout: Annotated[
        float | None, typer.Option(metavar="P", help="Images that lose fine skip connections.")
    ] = None,
    skip_until: Annotated[
        float | None, typer.Option(metavar="Q", help="The share of epochs in which they do.")
    ] = None,
    freeze_norm: Annotated[
        int | None, typer.Option(help="Epochs after which batch norm is fixed; 0 for never.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, crops and shifts.")] = 0,
    half: Annotated[bool, typer.Option("--half", help="Store the weights as float16.")] = False,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
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
      equibench train unet-aps-3 -s mri-sample --width 0.125
      equibench train unet-baseline -s fastmri --shift-augment 16 -o baseline-da.safetensors
      equibench train unet-aps-3,out_channels=4 -s seg-sample --width 0.05 --task segmentation
      equibench train unet-baseline,width=0.125,mend=aps -s mri-sample --from mri-sample
    """
    from equibench.registry.registries import MODELS
    from equibench.registry.specs import Spec, slug

    network, images = Spec.parse(variant), Spec.parse(suite)
    if network.adapters:
        raise UsageError(
            f"{', '.join(network.adapters)} at {network.reference}: a network is trained as it is; "
            "adapt it where it is measured"
        )
    if importlib.util.find_spec("pytorch_lightning") is None:
        raise UsageError("train needs pytorch_lightning; pip install 'equibench[train]'")
    from equibench.models.training.recipes import preset_for, recipe
    from equibench.models.training.train import Hardware
    from equibench.models.training.train import train as fit

    if width is not None:
        given = Spec.parse(f"{network.reference},width={width}").arguments
        network = replace(network, arguments={**network.arguments, **given})
    if origin is not None:
        if network.weights is not None:
            raise UsageError(f"--from {origin} and weights={network.weights}: name one of them")
        network = replace(network, weights=origin)
    MODELS.get(network.reference).check(network.arguments)
    preset = preset or ("finetune" if network.weights else preset_for(images.reference))
    chosen = recipe(
        preset,
        task=task,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        schedule=schedule,
        lr_step=lr_step,
        lr_factor=lr_factor,
        milestones=milestones,
        warmup=warmup,
        clip=clip,
        crop=crop,
        crops=crops,
        drawn=drawn,
        shift_augment=shift_augment,
        error_augment=error_augment,
        skip_dropout=skip_dropout,
        skip_until=skip_until,
        freeze_norm=freeze_norm,
    )
    augmented = "-da" if chosen.shift_augment else ""
    treated = f"-{slug(network.mend)}" if network.mend else ""
    name = f"{slug(network.reference)}{treated}{augmented}.safetensors"
    out = out or Path("weights") / slug(images.reference) / name
    hardware = Hardware(device, devices, strategy, precision, workers)
    try:
        trained = fit(
            network, images, chosen, out, preset=preset, seed=seed, half=half, data=roots(data),
            hardware=hardware,
        )  # fmt: skip
    except KeyboardInterrupt:
        raise interrupted() from None
    quality = " · ".join(f"{name} {value:.4g}" for name, value in trained["validation"].items())
    typer.echo(f"validation: {quality}\nweights: {out}")


def mend(
    model: Model,
    suite: Annotated[
        str,
        suite_option("Whose images are tried."),
    ] = "mri-sample",
    treatment: Annotated[
        list[str] | None,
        typer.Option(
            "-t",
            "--treatment",
            autocompletion=completion.treatments,
            help="As for mend=; repeatable. All that fit.",
        ),
    ] = None,
    shifts: Annotated[str, typer.Option(help="As for run.")] = "random:n=10,max=16",
    limit: Annotated[int | None, typer.Option(help="Only the first so many cases.")] = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    seed: Annotated[int, typer.Option(help="Of shifts and of untrained networks.")] = 0,
    data: Data = None,
    trust_pickle: TrustPickle = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="For a page and JSON.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The network with the recommended treatment, .pt2."),
    ] = None,
) -> None:
    """Treat a model so that it commutes with shifts: each treatment measured before and after.

    \b
    Examples:
      equibench mend unet-baseline,width=0.125,weights=mri-sample
      equibench mend repo/net.py:build -s photo-sample -t circular+canonical --save mended.pt2
    """
    from equibench.loading.load import load_spec
    from equibench.loading.treatments import mend as treated
    from equibench.measurement.run_config import validated
    from equibench.mending.comparison import compare
    from equibench.mending.saving import save as write
    from equibench.registry.specs import Spec
    from equibench.reports.diagnosis.mending import mending_files, mending_text

    options = {"device": device, "precision": precision, "seed": seed, "shifts": shifts}
    config = validated({"models": [model], "suites": [suite], **options, "limit": limit}, "mend")
    if save is not None and save.suffix != ".pt2":
        raise UsageError(f"--save {save}: networks are written by torch.export: end it in .pt2")
    images = suite_of(suite, data)
    loaded = load_spec(Spec.parse(model), seed, trust_pickle=trust_pickle)
    for note in loaded.notes:
        typer.echo(f"{loaded.label}: {note}", err=True)
    found = compare(
        loaded.model, loaded.label, images, treatment or (),
        shifts=shifts, device=device, precision=config.precision, limit=limit, seed=seed,
        progress=lambda text: print(f"measuring: {text}", file=sys.stderr, flush=True),
    )  # fmt: skip
    typer.echo(mending_text(found))
    for file in mending_files(found, out) if out is not None else ():
        typer.echo(f"written: {file}")
    if save is not None:
        if found.recommended is None:
            raise UsageError(f"--save {save}: no treatment is recommended, so none is saved")
        image = images.load(images.cases()[0]).input[:1]
        mended = treated(loaded.model, found.recommended.treatment)
        write(mended, image.expand(2, -1, -1, -1), save)
        typer.echo(f"saved: {save} (for {image.shape[-2]}×{image.shape[-1]} pixels)")
