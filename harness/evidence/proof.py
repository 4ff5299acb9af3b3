"""A proof of shift equivariance by reading a network: no image needs to be passed through it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, fx, nn

from equibench.errors import ModelError, UsageError
from equibench.evidence.certificate import Obstacle, Proof, Step
from equibench.evidence.reading.capture import Captured, capture
from equibench.evidence.reading.interpreter import Refused, Run, interpreted
from equibench.evidence.reading.motion.factors import Dim, Images, Lost, Moving, Value
from equibench.evidence.reading.rules.adaptive import adaptive_rule
from equibench.inference.model_outputs import framed
from equibench.state.model_state import evaluating
from equibench.transforms.transform import Size

__all__ = ["prove"]

_AXES = "zyx"
"""Of volumes; images have the last two, signals the last."""


def prove(
    model: Callable[[Tensor], Any],
    size: int | Size,
    *,
    channels: int = 1,
    batch: int = 2,
    label: str | None = None,
) -> Proof:
    """Prove which circular shifts commute with a network at one size, or name what breaks it.

    >>> proof = eb.prove(eb.load_model("unet-lpf-3,width=0.125"), 320)  # doctest: +SKIP
    >>> proof.proved, proof.stride  # doctest: +SKIP
    (True, (16, 16))

    Args:
        model: a module, or any callable that PyTorch can trace.
        size: of the images in pixels; one number for square ones, or (H, W); (L,) of signals,
            (D, H, W) of volumes.
        channels, batch: the rest of the shape (B, C, *size) of the images.
        label: what the result calls the model.

    Raises:
        UsageError: sizes that no image has.
    """
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    shape = (batch, channels, *sizes)
    if not 1 <= len(sizes) <= len(_AXES) or min(shape) < 1:
        raise UsageError(f"no image is {'×'.join(map(str, shape))}: sizes are positive")
    name = label or str(getattr(model, "__name__", type(model).__name__))
    begin = perf_counter()
    found = _Findings(name, sizes, batch, channels)
    try:
        with evaluating(model):
            images = _images(model, shape)
            if framed(model):  # how adapters restore outputs depends on one, of each size
                with torch.no_grad(), suppress(Exception):
                    model(images)
            captured = capture(model, images, lambda layer: adaptive_rule(layer) is not None)
    except ModelError as error:
        return found.refused(Obstacle("", f"cannot be captured: {error}"), begin)
    try:
        return found.read(captured, begin)
    except Refused as refused:
        return found.refused(_obstacle(captured, refused.blame.node, refused.blame.reason), begin)


class _Findings:
    """What the interpretations of one network say together."""

    def __init__(self, label: str, size: Size, batch: int, channels: int) -> None:
        self.label, self.size, self.batch, self.channels = label, size, batch, channels
        self.axes = _AXES[-len(size) :]

    def read(self, captured: Captured, begin: float) -> Proof:
        run, obstacles = self._settled(captured, any_shift=False)
        stride = self._stride(run)
        finer: Size | None = None
        conditions: tuple[str, ...] = ()
        if captured.regions and len(obstacles) < len(self.axes):
            other, _ = self._settled(captured, any_shift=True)
            finer = self._stride(other)
            conditions = tuple(other.conditions)
            if not other.axes or not conditions or finer == stride:
                finer, conditions = None, ()
        return self._proof(
            begin, stride, obstacles, (*run.conditions, *_decisions(captured, run)), finer, conditions,  # noqa: E501
            tuple(_steps(captured, run, self.size)),
        )  # fmt: skip

    def refused(self, obstacle: Obstacle, begin: float) -> Proof:
        obstacles = dict.fromkeys(self.axes, obstacle)
        return self._proof(begin, self.size, obstacles, (), None, (), ())

    def _proof(self, begin: float, *rest: Any) -> Proof:
        stride, obstacles, conditions, finer, more, steps = rest
        return Proof(
            self.label, self.size, self.batch, self.channels, stride, obstacles, conditions,
            finer, more, steps, perf_counter() - begin,
        )  # fmt: skip

    def _settled(self, captured: Captured, any_shift: bool) -> tuple[Run, dict[str, Obstacle]]:
        """Interpret, and again without the axes that break, until something holds."""
        moving, obstacles = list(range(len(self.size))), dict[str, Obstacle]()
        while True:
            run = interpreted(captured, moving, any_shift)
            if isinstance(run.output, Value) or not moving:
                return run, obstacles
            assert isinstance(run.output, Lost)
            blame = run.output.blame
            broken = {i for i, axis in run.axes.items() if axis in run.output.axes} or set(moving)
            for i in sorted(broken):
                obstacles[self.axes[i]] = _obstacle(captured, blame.node, blame.reason)
            moving = [i for i in moving if i not in broken]

    def _stride(self, run: Run) -> Size:
        return tuple(
            run.lattice.stride(run.axes[i]) if i in run.axes else n for i, n in enumerate(self.size)
        )


def _obstacle(captured: Captured, node: fx.Node, reason: str) -> Obstacle:
    origin = captured.origins.get(node)
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    operator = "" if node.op == "output" else name.rstrip("_")
    if origin is None:
        return Obstacle(operator, reason)
    return Obstacle(operator, reason, origin.module, origin.shown, origin.line)


def _decisions(captured: Captured, run: Run) -> Iterator[str]:
    """Conditions of operators where rounding can decide, each origin once."""
    origins = {str(captured.origins[node]): node for node in run.decisions}
    for origin, node in origins.items():
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        yield f"rounding does not decide {name} at {origin}"


def _steps(captured: Captured, run: Run, size: Size) -> Iterator[Step]:
    for step in run.steps:
        origin = captured.origins[step.node]
        axes = [run.axes.get(i) for i in range(len(size))]
        lattice = [step.lattice.get(a, 1) if a else n for a, n in zip(axes, size, strict=True)]
        yield Step(
            step.operator, _described(step.value), tuple(lattice),
            origin.module, origin.shown, origin.line,
        )  # fmt: skip


def _described(value: Value) -> str:
    return f"({', '.join(_dimension(dim) for dim in value.dims)})"


def _dimension(dim: Dim) -> str:
    return "·".join(_factor(factor) for factor in dim) or "1"


def _factor(factor: Any) -> str:
    if isinstance(factor, Images):
        return f"batch {factor.size}"
    if not isinstance(factor, Moving):
        return str(factor.size)
    stride = "" if factor.stride == 1 else f"/{factor.stride}"
    period = "" if factor.size == factor.period else f" of {factor.period}"
    spoiled = f" spoiled {factor.before}+{factor.after}" if factor.spoiled else ""
    return f"{factor.axis.name}{stride} {factor.size}{period}{spoiled}"


def _images(model: object, shape: tuple[int, ...]) -> Tensor:
    if isinstance(model, nn.Module):
        for parameter in model.parameters():
            if parameter.is_floating_point():
                return torch.zeros(shape, dtype=parameter.dtype, device=parameter.device)
    return torch.zeros(shape)
