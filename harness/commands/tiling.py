"""The command for tiled inference: halo."""

from pathlib import Path
from typing import Annotated

import typer

from equibench.commands.common_options import Data, Isolate, TrustPickle, suite_of

__all__ = ["halo"]


def halo(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model, as for run -m.")],
    suite: Annotated[
        str, typer.Option("-s", "--suite", metavar="SUITE", help="Whose images are cut into tiles.")
    ] = "photo-sample",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, fp64, tf32, bf16 or fp16.")] = "fp32",
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
