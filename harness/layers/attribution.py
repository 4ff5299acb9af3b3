"""Which layer breaks shift equivariance, and where what was lost is missed.

Two numbers for every call of every layer, by forward hooks. *Local* is about the layer alone: is
it equivariant in the sense of the paper (Chaman and Dokmanić, Asilomar 2021, section 2)?
*Cumulative* is about all that led up to its output: does the activation still follow the image?
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from math import nan
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from equibench.errors import ModelError, UsageError
from equibench.evaluation.model_device import device_of
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.foundation.rounding import allowance, default_limit
from equibench.inference.forward_pass import attempt, out_of_memory
from equibench.inference.placement import placed
from equibench.inference.precision import Precision, numerics
from equibench.layers.layer_calls import LayerCall, LayerCalls, hookable
from equibench.layers.map_alignment import (
    Displacement,
    error_of_moves,
    error_over_all_moves,
    fourier_move,
    neighbours,
)
from equibench.metrics.squared_error import nmse
from equibench.transforms.shift_plans import Shifts

__all__ = ["COLUMNS", "attribute"]

COLUMNS = (
    *("name", "kind", "call", "shape", "stride_y", "stride_x"),
    *("local", "cumulative", "floor", "breaks", "lost", "reason"),
)
"""Of an attribution: see :func:`attribute`."""

Pair = tuple[int, int]


def attribute(
    model: nn.Module,
    images: Tensor,
    shifts: Shifts | Sequence[Pair],
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    batch: int = 2,
    label: str | None = None,
) -> pd.DataFrame:
    """Measure every layer of a network on some images under some shifts.

    A layer is a module without children, or one of PyTorch's own whatever it is made of. What
    networks compute between layers (concatenation, functional pooling, padding) has no line of
    its own; the cumulative error shows it at the next layer.

    A map at stride s of the image has to move by d = k/s when the image moves by k. Where d is
    no integer, adaptive sampling moves it by one of the integers next to d, and no network can
    do better in whole samples: the shifts that layers are put through, and the moves that
    activations are forgiven, are therefore the integers on either side of d, axis by axis.

    Args:
        model: any module; it is put back as it was.
        images: (B, C, H, W).
        shifts: (dy, dx) in pixels, (n, 2).
        batch: images per forward pass, at least 2. All activations of that many images are kept.
        label: what messages call the model.

    Returns:
        One line for each call of a layer, in network order:

        ``name``, ``kind``, ``call``: the module's path, its class, and which call of it (from 1).
        ``shape``: C×H×W of its first output that is a map.
        ``stride_y``, ``stride_x``: size of its input over size of its output.
        ``local``: its own inputs are rolled by the integers next to d (index tensors stay as they
        are) and its output f(T x) is compared with f(x) under all integer moves m: the smallest
        ‖T_m f(x) − f(T x)‖² / ‖f(x)‖². Worst over images and shifts.
        ``cumulative``: its activation for the shifted image against that for the unshifted one
        moved by d: the smaller NMSE of a Fourier move by d itself and of the integer moves next
        to it. Worst over images and shifts.
        ``floor``: NMSE of its activation for the same image in another slot of the batch.
        ``breaks``, ``lost``: whether ``local``, ``cumulative`` are above what rounding makes.
        ``reason``: why numbers are missing or not complete, or nothing.

    Raises:
        UsageError: no module, no shift, a batch of one, or images of another shape.
        ModelError: the model raises, or calls no layer.
    """
    name = label or type(model).__name__
    pairs = [(int(dy), int(dx)) for dy, dx in np.asarray(shifts).reshape(-1, 2)]
    _check(model, images, pairs, batch)
    conditions = {"device": device, "precision": precision, "batch": batch}
    resolved = device_of(model, lambda: images[:1], name, **conditions)
    trace = _Trace(model, pairs, precision)
    with (
        guarded(lambda error: f"{name} cannot be attributed to: {kind_and_reason(error)}"),
        placed(model, resolved, precision) as forward,
        numerics(precision),
        torch.compiler.set_stance("force_eager"),  # compiled code calls no new hooks
        trace.calls.listening(),
    ):
        for first in range(0, len(images), batch):
            # one batch shape throughout, and always another slot
            chosen = torch.arange(first, first + batch) % len(images)
            part = images[chosen].to(resolved)
            trace.run(lambda x: attempt(forward, x, name, "attribution"), part)
    if not trace.lines:
        raise ModelError(
            f"{name} calls no layer that hooks can see: attribute the module itself, before "
            "scripting or compiling it"
        )
    return trace.table()


def _check(model: object, images: Tensor, shifts: Sequence[Pair], batch: int) -> None:
    hookable(model)
    if images.ndim != 4 or not len(images):
        raise UsageError(f"images of shape {tuple(images.shape)}: attribution needs (B, C, H, W)")
    if not shifts:
        raise UsageError("attribution over no shifts: name at least one")
    if batch < 2:
        raise UsageError(f"batch={batch}: the floor of layers needs at least 2 images a pass")


@dataclass(eq=False)
class _Line:
    """One call of one layer; the numbers are the worst so far."""

    name: str
    kind: str
    call: int
    shape: str = ""
    stride: tuple[float, float] = (nan, nan)
    local: float = nan
    cumulative: float = nan
    floor: float = nan
    reasons: list[str] = field(default_factory=list)

    def worsen(self, column: str, errors: Tensor) -> None:
        # what is not finite is as far off as can be
        worst = float(errors.detach().nan_to_num(nan=torch.inf, posinf=torch.inf).max())
        before = getattr(self, column)
        setattr(self, column, worst if before != before else max(before, worst))

    def leave_out(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


class _Trace:
    """What the calls of layers are compared with, and the lines that come of it."""

    def __init__(self, model: nn.Module, shifts: Sequence[Pair], precision: Precision) -> None:
        self.calls = LayerCalls(model)
        self.shifts, self.precision = shifts, precision
        self.enough = default_limit(precision)
        self.lines: dict[tuple[str, int], _Line] = {}
        self.references: dict[tuple[str, int], Tensor] = {}
        self.batch = 0
        self.size: Pair = (0, 0)

    def run(self, forward: Callable[[Tensor], object], images: Tensor) -> None:
        """Pass images (B, C, H, W) unshifted, in each other's slots, and with each shift."""
        self.batch, self.size = len(images), (images.shape[-2], images.shape[-1])
        self.references = {}
        self.calls.run(forward, images, self._reference, keep_inputs=True)
        self.calls.run(forward, images.roll(1, 0), self._floor)
        for shift in self.shifts:
            moved = images.roll(shift, (-2, -1))
            self.calls.run(forward, moved, partial(self._shifted, shift=shift))

    def table(self) -> pd.DataFrame:
        lines = []
        for line in self.lines.values():
            rounding = allowance(self.precision, line.floor)
            shown = (line.name, line.kind, line.call, line.shape, *line.stride)
            errors = (line.local, line.cumulative)
            above = [error > rounding for error in errors]
            lines.append((*shown, *errors, line.floor, *above, "; ".join(line.reasons)))
        return pd.DataFrame(lines, columns=list(COLUMNS))

    def _line(self, call: LayerCall) -> _Line:
        fresh = _Line(call.name, type(call.layer).__name__, call.number)
        return self.lines.setdefault(call.key, fresh)

    def _reference(self, call: LayerCall) -> None:
        line, maps = self._line(call), self._map(call.output)
        if maps is None:
            line.leave_out("its output is no map (B, C, H, W)")
            return
        line.shape = "×".join(map(str, maps.shape[1:]))
        if self._scale(maps) is None:
            line.leave_out(f"cumulative: {self._no_stride(maps)}")
        self.references[call.key] = maps.clone()
        self._local(line, call.layer, call.inputs, self.references[call.key])

    def _local(self, line: _Line, layer: nn.Module, inputs: Any, reference: Tensor) -> None:
        """The layer alone, with every map among its inputs rolled."""
        maps = [leaf for leaf in tree_leaves(inputs) if self._is_map(leaf)]
        if not maps:
            line.leave_out("local: none of its inputs is a map (B, C, H, W)")
            return
        if len({leaf.shape[-2:] for leaf in maps}) > 1:
            line.leave_out("local: its inputs differ in size")
            return
        sizes = tuple(maps[0].shape[-2:]), tuple(reference.shape[-2:])
        ratio = tuple(Fraction(o, i) for i, o in zip(*sizes, strict=True))
        line.stride = (float(1 / ratio[0]), float(1 / ratio[1]))
        scale = self._scale(maps[0])
        if scale is None:
            line.leave_out(f"local: {self._no_stride(maps[0])}")
            return
        moves = self._moves(scale, sizes[0])
        if not moves:
            line.leave_out("local: no shift moves its input")
        for move in moves:
            args, kwargs = tree_map(
                lambda leaf, move=move: leaf.roll(move, (-2, -1)) if self._is_map(leaf) else leaf,
                inputs,
            )
            try:
                moved = self._map(layer(*args, **kwargs))
            except Exception as error:
                if out_of_memory(error):
                    raise
                line.leave_out(f"local: it raised {type(error).__name__} when called by itself")
                return
            if moved is None or moved.shape != reference.shape:
                line.leave_out("local: its output changes its shape")
                return
            expected = (move[0] * ratio[0], move[1] * ratio[1])
            near = neighbours(expected)
            line.worsen("local", error_over_all_moves(reference, moved, near, self.enough))

    def _moves(self, scale: Displacement, size: Sequence[int]) -> list[Pair]:
        """The integer shifts of a map next to what the image's shifts come to at its scale."""
        moves = {
            (dy % size[0], dx % size[1]): (dy, dx)
            for shift in self.shifts
            for dy, dx in neighbours((shift[0] * scale[0], shift[1] * scale[1]))
        }
        return [move for turn, move in moves.items() if any(turn)]

    def _floor(self, call: LayerCall) -> None:
        pair = self._pair(call)
        if pair is not None:
            self._line(call).worsen("floor", nmse(pair[0].roll(1, 0), pair[1], 1.0))

    def _shifted(self, call: LayerCall, shift: Pair) -> None:
        pair = self._pair(call)
        scale = None if pair is None else self._scale(pair[1])
        if pair is None or scale is None:
            return
        displacement = shift[0] * scale[0], shift[1] * scale[1]
        errors = error_of_moves(*pair, neighbours(displacement))
        if any(d.denominator > 1 for d in displacement):
            errors = errors.minimum(nmse(fourier_move(pair[0], displacement), pair[1], 1.0))
        self._line(call).worsen("cumulative", errors)

    def _pair(self, call: LayerCall) -> tuple[Tensor, Tensor] | None:
        """The unshifted activation of a call, and the one to be compared with it."""
        reference, maps = self.references.get(call.key), self._map(call.output)
        if reference is not None and maps is not None and reference.shape == maps.shape:
            return reference, maps
        if reference is not None or maps is not None:
            self._line(call).leave_out("cumulative: it is not called alike for every image")
        return None

    def _map(self, output: Any) -> Tensor | None:
        """The first map among what a layer returns."""
        return next((leaf for leaf in tree_leaves(output) if self._is_map(leaf)), None)

    def _is_map(self, value: object) -> bool:
        return (
            isinstance(value, Tensor)
            and value.ndim == 4
            and len(value) == self.batch
            and value.is_floating_point()
        )

    def _scale(self, maps: Tensor) -> Displacement | None:
        """What one pixel of the image is in samples of a map; None where neither divides."""
        scale = tuple(Fraction(n, m) for n, m in zip(maps.shape[-2:], self.size, strict=True))
        whole = all(s.numerator == 1 or s.denominator == 1 for s in scale)
        return (scale[0], scale[1]) if whole else None

    def _no_stride(self, maps: Tensor) -> str:
        (height, width), (rows, columns) = maps.shape[-2:], self.size
        return f"{height}×{width} has no whole stride in the image's {rows}×{columns}"
