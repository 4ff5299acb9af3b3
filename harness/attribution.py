"""Which layer breaks shift equivariance, and where what was lost is missed.

Two numbers for every call of every layer, by forward hooks. *Local* is about the layer alone: is
it equivariant in the sense of the paper (Chaman and Dokmanić, Asilomar 2021, section 2)?
*Cumulative* is about all that led up to its output: does the activation still follow the image?
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

from equibench.alignment import (
    Displacement,
    error_of_moves,
    error_over_all_moves,
    fourier_move,
    neighbours,
)
from equibench.errors import ModelError, UsageError
from equibench.forward import attempt, out_of_memory
from equibench.metrics import nmse
from equibench.precision import Precision, numerics, placed, resolve_device
from equibench.rounding import allowance, default_limit
from equibench.shifts import Shifts

__all__ = ["COLUMNS", "attribute"]

COLUMNS = (
    *("name", "kind", "call", "shape", "stride_y", "stride_x"),
    *("local", "cumulative", "floor", "breaks", "lost", "reason"),
)
"""Of an attribution: see :func:`attribute`."""

Pair = tuple[int, int]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


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
        ``reason``: why numbers are missing (NaN), or nothing.

    Raises:
        UsageError: no module, no shift, a batch of one, or images of another shape.
        ModelError: the model raises, or calls no layer.
    """
    name = label or type(model).__name__
    pairs = [(int(dy), int(dx)) for dy, dx in np.asarray(shifts).reshape(-1, 2)]
    _check(model, images, pairs, batch)
    place = resolve_device(device)
    trace = _Trace(model, pairs, precision)
    with (
        placed(model, place, precision) as forward,
        numerics(precision),
        trace.listening(),
    ):
        for first in range(0, len(images), batch):
            # one batch shape throughout, and always another slot
            chosen = torch.arange(first, first + batch) % len(images)
            part = images[chosen].to(place)
            trace.run(lambda x: attempt(forward, x, name, "attribution"), part)
    if not trace.lines:
        raise ModelError(
            f"{name} calls no layer that hooks can see: attribute the module itself, before "
            "scripting or compiling it"
        )
    return trace.table()


def _check(model: object, images: Tensor, shifts: Sequence[Pair], batch: int) -> None:
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"{type(model).__name__} has no layers to attribute to: give a torch.nn.Module"
        )
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
        worst = float(errors.nan_to_num(nan=torch.inf).max())
        before = getattr(self, column)
        setattr(self, column, worst if before != before else max(before, worst))

    def leave_out(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


class _Trace:
    """Hooks on every layer, what they compare with, and the lines they write."""

    def __init__(self, model: nn.Module, shifts: Sequence[Pair], precision: Precision) -> None:
        self.layers = _layers(model)
        self.shifts, self.precision = shifts, precision
        self.enough = default_limit(precision)
        self.lines: dict[tuple[str, int], _Line] = {}
        self.references: dict[tuple[str, int], Tensor] = {}
        self.calls: Counter[str] = Counter()
        self.batch = 0
        self.size: Pair = (0, 0)
        self.inputs: Any = None
        self.visit: Callable[[_Line, nn.Module, Any], None] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hook the layers, and let go of them."""
        handles = []
        for name, layer in self.layers:
            handles += [
                layer.register_forward_pre_hook(self._before, with_kwargs=True),
                layer.register_forward_hook(self._after(name)),
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def run(self, forward: Callable[[Tensor], object], images: Tensor) -> None:
        """Pass images (B, C, H, W) unshifted, in each other's slots, and with each shift."""
        self.batch, self.size = len(images), (images.shape[-2], images.shape[-1])
        self.references = {}
        self._pass(forward, images, self._reference)
        self._pass(forward, images.roll(1, 0), self._floor)
        for shift in self.shifts:
            moved = images.roll(shift, (-2, -1))
            self._pass(forward, moved, partial(self._shifted, shift=shift))

    def table(self) -> pd.DataFrame:
        lines = []
        for line in self.lines.values():
            rounding = allowance(self.precision, line.floor)
            shown = (line.name, line.kind, line.call, line.shape, *line.stride)
            errors = (line.local, line.cumulative)
            above = [error > rounding for error in errors]
            lines.append((*shown, *errors, line.floor, *above, "; ".join(line.reasons)))
        return pd.DataFrame(lines, columns=list(COLUMNS))

    def _pass(
        self,
        forward: Callable[[Tensor], object],
        images: Tensor,
        visit: Callable[[_Line, nn.Module, Any], None],
    ) -> None:
        self.calls.clear()
        self.visit = visit
        try:
            forward(images)
        finally:
            self.visit = self.inputs = None

    def _before(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        # bound methods are equal, not identical; a layer may work in place
        if self.visit == self._reference:
            self.inputs = tree_map(_copy, (args, kwargs))

    def _after(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(layer: nn.Module, args: Any, output: Any) -> None:
            if self.visit is None:
                return
            self.calls[name] += 1
            key = name, self.calls[name]
            line = self.lines.setdefault(key, _Line(name, type(layer).__name__, key[1]))
            self.visit(line, layer, output)

        return hook

    def _reference(self, line: _Line, layer: nn.Module, output: Any) -> None:
        maps = self._map(output)
        if maps is None:
            line.leave_out("its output is no map (B, C, H, W)")
            return
        line.shape = "×".join(map(str, maps.shape[1:]))
        if self._scale(maps) is None:
            line.leave_out(f"cumulative: {self._no_stride(maps)}")
        reference = self.references[line.name, line.call] = maps.clone()
        inputs, visit = self.inputs, self.visit
        self.visit = None  # the layer is called again, by itself
        try:
            self._local(line, layer, inputs, reference)
        except Exception as error:
            if out_of_memory(error):
                raise
            line.leave_out(f"local: it raised {type(error).__name__} when called by itself")
        finally:
            self.visit = visit

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
            moved = self._map(layer(*args, **kwargs))
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

    def _floor(self, line: _Line, layer: nn.Module, output: Any) -> None:
        reference, maps = self._pair(line, output)
        if reference is not None and maps is not None:
            line.worsen("floor", nmse(reference.roll(1, 0), maps, 1.0))

    def _shifted(self, line: _Line, layer: nn.Module, output: Any, shift: Pair) -> None:
        reference, maps = self._pair(line, output)
        if reference is None or maps is None:
            return
        scale = self._scale(maps)
        if scale is None:
            return
        displacement = shift[0] * scale[0], shift[1] * scale[1]
        errors = error_of_moves(reference, maps, neighbours(displacement))
        if any(d.denominator > 1 for d in displacement):
            errors = errors.minimum(nmse(fourier_move(reference, displacement), maps, 1.0))
        line.worsen("cumulative", errors)

    def _pair(self, line: _Line, output: Any) -> tuple[Tensor | None, Tensor | None]:
        """The unshifted activation of a call and the one to be compared with it."""
        reference = self.references.get((line.name, line.call))
        maps = self._map(output)
        if reference is not None and maps is not None and reference.shape == maps.shape:
            return reference, maps
        if reference is not None or maps is not None:
            line.leave_out("cumulative: it is not called alike for every image")
        return None, None

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


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules without children, and PyTorch's own whatever they are made of."""
    found: list[tuple[str, nn.Module]] = []

    def walk(name: str, module: nn.Module) -> None:
        if not any(module is known for _, known in found):
            if not any(True for _ in module.children()) or _is_pytorch(module):
                found.append((name or type(module).__name__, module))
            else:
                for child, inner in module.named_children():
                    walk(f"{name}.{child}" if name else child, inner)

    walk("", model)
    return found


def _is_pytorch(module: nn.Module) -> bool:
    """A norm that a library gave an activation as its child still is one layer, say."""
    classes = [c for c in type(module).__mro__ if c is not nn.Module and issubclass(c, nn.Module)]
    return not isinstance(module, _CONTAINERS) and any(
        c.__module__.startswith("torch.nn.modules") for c in classes
    )


def _copy(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value
