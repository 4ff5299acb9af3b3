"""The command that mends."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from equibench.commands.common_options import (
    Data,
    Device,
    Model,
    Precision,
    TrustPickle,
    suite_of,
    suite_option,
)
from equibench.errors import UsageError
from equibench.registry import completion

__all__ = ["mend"]


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
