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
    error_inside,
    error_of_moves,
    error_over_all_moves,
    fourier_move,
    neighbours,
)
from equibench.metrics.squared_error import nmse
from equibench.transforms.shift_plans import Shifts
from equibench.transforms.transform import Size

__all__ = ["COLUMNS", "attribute"]

COLUMNS = (
    *("name", "kind", "call", "shape", "stride_y", "stride_x"),
    *("local", "inside", "cumulative", "floor", "breaks", "lost", "reason"),
)
"""Of an attribution: see :func:`attribute`."""


def attribute(
    model: nn.Module,
    images: Tensor,
    shifts: Shifts | Sequence[Size],
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
        images: (B, C, H, W), or signals (B, C, L), or volumes (B, C, D, H, W).
        shifts: in pixels along each axis, (dy, dx) of images, (n, axes).
        batch: images per forward pass, at least 2. All activations of that many images are kept.
        label: what messages call the model.

    Returns:
        One line for each call of a layer, in network order:

        ``name``, ``kind``, ``call``: the module's path, its class, and which call of it (from 1).
        ``shape``: C×H×W of its first output that is a map.
        ``stride_y``, ``stride_x``: size of its input over size of its output; of volumes
        ``stride_z`` as well, of signals ``stride_x`` alone.
        ``local``: its own inputs are rolled by the integers next to d (index tensors stay as they
        are) and its output f(T x) is compared with f(x) under all integer moves m: the smallest
        ‖T_m f(x) − f(T x)‖² / ‖f(x)‖². Worst over images and shifts.
        ``inside``: of a layer that breaks, its local error with borders left out, those of the
        frame and those that its input's shift brings into it, each an eighth of the map wide; 0
        where it is rounding: such a layer only pads, others sample. NaN where the map has no
        inside.
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
    given = np.atleast_2d(np.asarray(shifts, dtype=np.int64))
    moves = [tuple(shift) for shift in given.tolist() if shift]
    _check(model, images, moves, batch)
    conditions = {"device": device, "precision": precision, "batch": batch}
    resolved = device_of(model, lambda: images[:1], name, **conditions)
    trace = _Trace(model, moves, precision)
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


def _check(model: object, images: Tensor, shifts: Sequence[Size], batch: int) -> None:
    hookable(model)
    if not 3 <= images.ndim <= 5 or not len(images):
        raise UsageError(
            f"images of shape {tuple(images.shape)}: attribution needs (B, C, H, W), signals "
            "(B, C, L) or volumes (B, C, D, H, W)"
        )
    if not shifts:
        raise UsageError("attribution over no shifts: name at least one")
    if any(len(shift) != images.ndim - 2 for shift in shifts):
        raise UsageError(
            f"a shift of {len(shifts[0])} pixels is none of images with {images.ndim - 2} axes: "
            "give one number for each axis"
        )
    if batch < 2:
        raise UsageError(f"batch={batch}: the floor of layers needs at least 2 images a pass")


@dataclass(eq=False)
class _Line:
    """One call of one layer; the numbers are the worst so far."""

    name: str
    kind: str
    call: int
    shape: str = ""
    stride: tuple[float, ...] = ()
    local: float = nan
    inside: float = nan
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

    def __init__(self, model: nn.Module, shifts: Sequence[Size], precision: Precision) -> None:
        self.calls = LayerCalls(model)
        self.shifts, self.precision = shifts, precision
        self.enough = default_limit(precision)
        self.lines: dict[tuple[str, int], _Line] = {}
        self.references: dict[tuple[str, int], Tensor] = {}
        self.batch = 0
        self.size: Size = ()

    def run(self, forward: Callable[[Tensor], object], images: Tensor) -> None:
        """Pass images (B, C, *size) unshifted, in each other's slots, and with each shift."""
        self.batch, self.size = len(images), tuple(images.shape[2:])
        self.references = {}
        self.calls.run(forward, images, self._reference, keep_inputs=True)
        self.calls.run(forward, images.roll(1, 0), self._floor)
        for shift in self.shifts:
            moved = images.roll(shift, tuple(range(2, images.ndim)))
            self.calls.run(forward, moved, partial(self._shifted, shift=shift))

    def table(self) -> pd.DataFrame:
        lines = []
        for line in self.lines.values():
            rounding = allowance(self.precision, line.floor)
            strides = line.stride or (nan,) * len(self.size)
            missing = (nan,) * (2 - len(strides))  # a signal has no rows
            shown = (line.name, line.kind, line.call, line.shape, *missing, *strides)
            breaks, lost = line.local > rounding, line.cumulative > rounding
            inside = 0.0 if line.inside <= rounding else line.inside
            errors = (line.local, inside if breaks else nan, line.cumulative, line.floor)
            lines.append((*shown, *errors, breaks, lost, "; ".join(line.reasons)))
        return pd.DataFrame(lines, columns=[*COLUMNS[:4], *_strides(len(self.size)), *COLUMNS[6:]])

    def _line(self, call: LayerCall) -> _Line:
        fresh = _Line(call.name, type(call.layer).__name__, call.number)
        return self.lines.setdefault(call.key, fresh)

    def _reference(self, call: LayerCall) -> None:
        line, maps = self._line(call), self._map(call.output)
        if maps is None:
            line.leave_out(f"its output is no map {self._maps}")
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
            line.leave_out(f"local: none of its inputs is a map {self._maps}")
            return
        if len({leaf.shape[2:] for leaf in maps}) > 1:
            line.leave_out("local: its inputs differ in size")
            return
        sizes = tuple(maps[0].shape[2:]), tuple(reference.shape[2:])
        ratio = tuple(Fraction(o, i) for i, o in zip(*sizes, strict=True))
        line.stride = tuple(float(1 / each) for each in ratio)
        scale = self._scale(maps[0])
        if scale is None:
            line.leave_out(f"local: {self._no_stride(maps[0])}")
            return
        moves = self._moves(scale, sizes[0])
        if not moves:
            line.leave_out("local: no shift moves its input")
        dims = tuple(range(2, reference.ndim))
        for move in moves:
            args, kwargs = tree_map(
                lambda leaf, move=move: leaf.roll(move, dims) if self._is_map(leaf) else leaf,
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
            near = neighbours(_times(move, ratio))
            errors = error_over_all_moves(reference, moved, near, self.enough)
            line.worsen("local", errors)
            if not bool((errors <= self.enough).all()):
                inside = error_inside(reference, moved, near)
                if inside is not None:
                    line.worsen("inside", inside)

    def _moves(self, scale: Displacement, size: Sequence[int]) -> list[Size]:
        """The integer shifts of a map next to what the image's shifts come to at its scale."""
        moves = {
            tuple(k % n for k, n in zip(move, size, strict=True)): move
            for shift in self.shifts
            for move in neighbours(_times(shift, scale))
        }
        return [move for turn, move in moves.items() if any(turn)]

    def _floor(self, call: LayerCall) -> None:
        pair = self._pair(call)
        if pair is not None:
            self._line(call).worsen("floor", nmse(pair[0].roll(1, 0), pair[1], 1.0))

    def _shifted(self, call: LayerCall, shift: Size) -> None:
        pair = self._pair(call)
        scale = None if pair is None else self._scale(pair[1])
        if pair is None or scale is None:
            return
        displacement = _times(shift, scale)
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
            and value.ndim == 2 + len(self.size)
            and len(value) == self.batch
            and value.is_floating_point()
        )

    def _scale(self, maps: Tensor) -> Displacement | None:
        """What one pixel of the image is in samples of a map; None where neither divides."""
        scale = tuple(Fraction(n, m) for n, m in zip(maps.shape[2:], self.size, strict=True))
        whole = all(s.numerator == 1 or s.denominator == 1 for s in scale)
        return scale if whole else None

    def _no_stride(self, maps: Tensor) -> str:
        sizes = ("×".join(map(str, size)) for size in (maps.shape[2:], self.size))
        return " has no whole stride in the image's ".join(sizes)

    @property
    def _maps(self) -> str:
        """What maps are like where images are like these."""
        return {1: "(B, C, L)", 2: "(B, C, H, W)", 3: "(B, C, D, H, W)"}[len(self.size)]


def _times(shift: Size, scale: Displacement) -> Displacement:
    """A shift of the image in samples of a map."""
    return tuple(k * s for k, s in zip(shift, scale, strict=True))


def _strides(axes: int) -> list[str]:
    """Columns of strides along so many axes, those of images at least."""
    return [f"stride_{axis}" for axis in "zyx"[-max(2, axes) :]]
