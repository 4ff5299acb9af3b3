"""What a probe found, for a terminal and as a figure."""

from collections.abc import Sequence
from math import isinf, prod
from pathlib import Path

import numpy as np
import torch
from torch import nn

from equibench.errors import UsageError
from equibench.evaluation.inner_stride import InnerStride
from equibench.evaluation.model_on_suite import Evaluation
from equibench.evidence.stride_probing import Probe
from equibench.layers.adaptive_choices import adaptive_layers
from equibench.layers.attribution import attribute
from equibench.layers.index_flips import trace_flips
from equibench.reports.diagnosis.layers import flip_table, layer_figure, layer_table
from equibench.reports.tables.values import number
from equibench.transforms.transform import as_shift

__all__ = ["error_map", "layers_text", "probe_text"]


def probe_text(found: Probe, label: str, suite: str, inside: InnerStride | None = None) -> str:
    """A few lines: total stride, boundaries, rounding, and what all shifts cost."""
    size, every, at = "×".join(map(str, found.size)), prod(found.size), as_shift(found.at)
    deviation, floor = (number(value, ".1e") for value in (found.deviation, found.floor))
    lines = {"probed": f"{label} on {suite}, {size}, {found.images} images (one noise)"}
    if found.periodic:
        lines["total stride"] = f"{' × '.join(map(str, found.stride))}{_declared(found)}"
        lines["boundaries"] = "circular"
        lines["rounding"] = f"NMSE {deviation} at {at}, a multiple; floor {floor}"
        lines["all shifts"] = f"{prod(found.classes)} evaluations an image stand for {every}"
    else:
        lines["total stride"] = f"none: only whole turns commute{_declared(found)}"
        borders = f"near the borders {found.border:.1f} times the error inside"
        if isinf(found.border):
            borders = "near the borders alone"
        lines["boundaries"] = (
            f"not circular, or the size does not divide: NMSE {deviation} at {at}, the best shift "
            f"tried; {borders}; floor {floor}"
        )
        if inside is not None:
            lines["inside"] = _inside(inside)
        lines["all shifts"] = (
            f"{every} evaluations an image, about {number(every * found.seconds / 60, '.3g')} min"
        )
    longest = max(map(len, lines))
    return "\n".join(f"{name:{longest}}  {text}" for name, text in lines.items())


def _inside(found: InnerStride) -> str:
    """The stride with the borders left out, or that there is none."""
    window = "×".join(map(str, found.window))
    if not found.found:
        return (
            f"no displacement up to {found.tried} pixels commutes in the middle of windows of "
            f"{window}: error {number(found.least, '.1e')} there, of sampling, of a receptive "
            "field that is larger, or of what looks at the whole image"
        )
    stride = " × ".join(map(str, found.stride))
    return f"stride {stride}; borders reach {found.reach} pixels (windows of {window}, displaced)"


def layers_text(
    evaluation: Evaluation, cases: Sequence[str], out: Path | None
) -> tuple[str, list[Path]]:
    """Tables of what every layer does to shifts, of adaptive ones their flips; and the figures.

    Args:
        cases: whose first images are tried.
        out: where the figure is written; None for none.

    Raises:
        UsageError: a model without layers.
    """
    model, suite, settings = evaluation.model, evaluation.suite, evaluation.settings
    if not isinstance(model, nn.Module):
        raise UsageError(f"{evaluation.label} is a plain callable: it has no layers to measure")
    images = torch.cat([suite.load(case).input[:1] for case in cases])
    plan = settings.plan
    assert plan is not None
    shifts = plan.shifts(settings.seed, suite.name, cases[0], tuple(images.shape[2:]))
    device, precision, label = str(settings.device), settings.precision, evaluation.label
    found = attribute(model, images, shifts, device=device, precision=precision, label=label)
    text = layer_table(found)
    if adaptive_layers(model):
        choices = trace_flips(
            model,
            images,
            shifts=plan,
            device=device,
            precision=precision,
            seed=settings.seed,
            label=label,
        )
        text += f"\n{flip_table(choices)}"
    return text, layer_figure(found, out / "layers") if out else []


def error_map(found: Probe, path: Path) -> list[Path]:
    """Where a model breaks under the best shift tried: PNG and PDF of squared error per pixel.

    Of a volume the slice in which it is the largest, of a signal the error along it.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    assert found.error is not None
    error, title = found.error.numpy(), f"shift {as_shift(found.at)}"
    if error.ndim == 3:
        worst = int(error.sum(axis=(1, 2)).argmax())
        error, title = error[worst], f"{title}, slice {worst}"
    shown = np.maximum(error, error.max() * 1e-8)
    figure, axes = plt.subplots(figsize=(3.5, 3.1), layout="constrained")
    label = "squared error, mean over images"
    if error.ndim == 1:
        axes.semilogy(shown)
        axes.set(xlabel="x [samples]", ylabel=label, title=title)
    else:
        image = axes.imshow(shown, norm=LogNorm(), cmap="magma")
        axes.set(xlabel="x [pixels]", ylabel="y [pixels]", title=title)
        figure.colorbar(image, label=label)
    path.mkdir(parents=True, exist_ok=True)
    files = [path / f"probe.{suffix}" for suffix in ("png", "pdf")]
    for file in files:
        figure.savefig(file, dpi=200)
    plt.close(figure)
    return files


def _declared(found: Probe) -> str:
    if found.declared is None:
        return ""
    verdict = {True: "holds", False: "does not hold", None: "does not divide the size"}
    return f" (declared {found.declared}: {verdict[found.verified]})"
