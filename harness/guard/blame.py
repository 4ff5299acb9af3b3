"""Which layer a broken limit comes from, and which treatment of the network mends it."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from equibench.cases.suite import Suite
from equibench.errors import EquibenchError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.foundation.rounding import default_limit
from equibench.inference.placement import placed
from equibench.inference.precision import Precision, numerics
from equibench.layers.attribution import attribute
from equibench.loading.treatments import mend
from equibench.metrics.squared_error import nmse
from equibench.registry.registries import TREATMENTS
from equibench.transforms.circular_shift import align, roll
from equibench.transforms.transform import Size, shift_of

__all__ = ["blame"]


def blame(
    model: Callable[[Tensor], Tensor], suite: Suite, row: "pd.Series[Any]", precision: Precision
) -> str:
    """The layer that is furthest from commuting with a row's shift, and what mends the network.

    Each treatment is tried on the row's first image.

    Returns:
        A line, or nothing where there is neither.
    """
    if not isinstance(model, nn.Module):
        return ""
    try:
        image = suite.load(str(row["case"])).input[:1]
        shift = shift_of(row)
        parts = (_layer(model, image, shift, precision), _remedy(model, image, shift, precision))
    except EquibenchError:  # the limit is what the user has to hear of
        return ""
    return "; ".join(filter(None, parts))


def _layer(model: nn.Module, image: Tensor, shift: Size, precision: Precision) -> str:
    try:
        table = attribute(model, image, [shift], device="cpu", precision=precision)
    except EquibenchError:  # it has no layers that can be seen
        return ""
    table = table[table["breaks"]]
    if table.empty:
        return ""
    worst = table.iloc[int(table["local"].to_numpy().argmax())]
    return f"layer to blame: {worst['name']} ({worst['kind']}, local NMSE {worst['local']:.2g})"


def _remedy(model: nn.Module, image: Tensor, shift: Size, precision: Precision) -> str:
    """The first treatment that brings errors down to rounding: those without retraining first."""
    entries = [entry for entry in TREATMENTS.entries() if entry.unavailable() is None]
    exact = [entry for entry in entries if entry.info.details.get("exact") is True]
    exact.sort(key=lambda entry: (bool(entry.info.details.get("retraining")), -len(entry.name)))
    names = [entry.name for entry in exact]
    for name in ("circular", *names, *(f"circular+{name}" for name in names)):
        # some mend all multiples of a stride alone
        error = _error(model, name, image, (shift, (1,) * len(shift)), precision)
        if error <= default_limit(precision):
            return f"mend={name} brings its NMSE at this shift to {error:.2g}: see equibench mend"
    return ""


def _error(
    model: nn.Module, treatment: str, image: Tensor, shifts: Sequence[Size], precision: Precision
) -> float:
    """The largest NMSE of a treated network under some shifts of an image (1, C, *size)."""
    moves = torch.tensor([(0,) * len(shifts[0]), *shifts])
    images = roll(image.expand(len(moves), *image.shape[1:]), moves)
    try:
        with (
            guarded(kind_and_reason),
            placed(mend(model, treatment), torch.device("cpu"), precision) as forward,
            numerics(precision),
        ):
            outputs = align(forward(images), moves, images)
    except EquibenchError:  # it does not fit this network
        return float("inf")
    return float(nmse(outputs[:1].expand_as(outputs), outputs, 1.0).max())
