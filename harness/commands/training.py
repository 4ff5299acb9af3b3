"""The command that trains."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from equibench.commands.common_options import Data, Device, interrupted, roots, suite_option
from equibench.errors import UsageError
from equibench.registry import completion

__all__ = ["train"]


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
        typer.Option(help="paper-mri|ct, sample, sample-mri|ct|seg or finetune; else what fits."),
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
    from equibench.models.recipes import preset_for, recipe
    from equibench.models.training import Hardware
    from equibench.models.training import train as fit

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
        warmup=warmup,
        clip=clip,
        crop=crop,
        crops=crops,
        drawn=drawn,
        shift_augment=shift_augment,
        error_augment=error_augment,
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
