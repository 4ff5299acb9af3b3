"""The command that proves: prove."""

import json
from typing import Annotated

import typer

from equibench.commands.common_options import TrustPickle
from equibench.errors import UsageError

__all__ = ["prove"]


def prove(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model, as for run -m.")],
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
