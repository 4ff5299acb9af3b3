"""How tiles fit together, for a terminal, for a model's description, and as a figure."""

from pathlib import Path

import numpy as np
from torch import nn

from equibench.evaluation.halo import AxisHalo, Tiling, tile_step
from equibench.reports.tables.values import number

__all__ = ["halo_figure", "halo_text"]

_GLOBAL = ("AdaptiveAvgPool", "AdaptiveMaxPool", "InstanceNorm", "GroupNorm", "MultiheadAttention")
"""Layers of PyTorch that look at the whole image, by what their names begin with."""


def halo_text(found: Tiling, label: str, suite: str, model: object) -> str:
    """A few lines: halo, grid and sizes, the seam of smaller halos, or why none helps."""
    tiles = " and ".join(f"{axis.tile} along {name}" for name, axis in found.axes.items())
    lines = {"tiles": f"{label} on {suite}: strips of {tiles}, beside the whole image"}
    if found.fits:
        for what in ("halo", "grid"):
            values = (f"{name} {getattr(axis, what)}" for name, axis in found.axes.items())
            lines[what] = f"{', '.join(values)} pixels"
        lines["grid"] += ": offsets of tiles are multiples of it"
    else:
        lines["halo"] = _none(found, model)
    if found.step is not None:
        step = tile_step(found)
        more = f", tiles on the grid by {step}" if step != found.step else ""
        lines["sizes"] = f"{found.least} + n · {found.step}{more}"
    for name, axis in found.axes.items():
        lines[f"seam {name}"] = _seams(axis)
        if axis.border:
            lines[f"border {name}"] = (
                f"error {number(axis.border, '.1e')} at the image's own border, whatever the halo: "
                "a tile has other pixels there than the whole image (circular padding, say)"
            )
    if found.fits and found.step is not None:
        lines["bioimage.io"] = "; ".join(
            f"{name}: {{min: {found.least}, step: {tile_step(found)}, halo: {axis.halo}}}"
            for name, axis in found.axes.items()
        )
    longest = max(map(len, lines))
    return "\n".join(f"{name:{longest}}  {text}" for name, text in lines.items())


def _none(found: Tiling, model: object) -> str:
    worst = max((axis for axis in found.axes.values() if axis.grid is None), key=lambda a: a.middle)
    said = f"none helps: error {number(worst.middle, '.1e')} in the middle of tiles, at any offset"
    if worst.falls:
        return f"{said}; it still falls there, so that larger images may show one"
    named = []
    if isinstance(model, nn.Module):
        named = [
            f"{name or 'the network'} ({type(layer).__name__})"
            for name, layer in model.named_modules()
            if type(layer).__name__.startswith(_GLOBAL)
        ]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    if named:
        return f"{said}; these look at the whole image: {', '.join(named[:3])}{more}"
    return f"{said}: statistics of the image, positions, or a stride above 32"


def _seams(axis: AxisHalo) -> str:
    """The largest error that is left with a halo, for a few of them."""
    last = axis.halo if axis.grid is not None else len(axis.seam) - 1
    chosen = sorted({0, last // 8, last // 4, last // 2, (3 * last) // 4, last})
    seen = [k for k in chosen if k < len(axis.seam)]
    return ", ".join(f"halo {k}: {number(float(axis.seam[k]), '.1e')}" for k in seen)


def halo_figure(found: Tiling, path: Path) -> list[Path]:
    """The largest error that a halo leaves, by halo, a line for each axis: PNG and PDF."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 3.1), layout="constrained")
    for name, axis in found.axes.items():
        seam = axis.seam.numpy()
        axes.semilogy(np.where(seam > 0, seam, np.nan), label=f"along {name}")
        if axis.grid is not None:
            axes.axvline(axis.halo, linewidth=0.8, linestyle=":", color="0.4")
    axes.set(xlabel="halo [pixels]", ylabel="largest squared error / mean square")
    axes.legend()
    path.mkdir(parents=True, exist_ok=True)
    files = [path / f"halo.{suffix}" for suffix in ("png", "pdf")]
    for file in files:
        figure.savefig(file, dpi=200)
    plt.close(figure)
    return files
