"""Transfer rules of adaptive polyphase sampling, whose operators are taken as one.

Source: Chaman and Dokmanić, Asilomar 2021, Propositions 1 and 2. Two claims can be made of such
layers. *Multiples*: when the input moves by a multiple of the stride after sampling, the components
keep their order, the same one is chosen, and sampling is like sampling with a stride; no condition
is needed. *Any shift*: where one component is the largest, the chosen grid follows the map, by some
integer motion that nobody knows before; what follows must commute with every integer motion of that
grid, until APS-U puts the samples back by the index of the same choice.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from torch import nn

from equibench.evidence.certificate import TIES
from equibench.evidence.reading.motion.context import Context
from equibench.evidence.reading.motion.factors import (
    Axis,
    Breaks,
    Dim,
    Factor,
    Moving,
    Still,
    Value,
    size_of,
)
from equibench.evidence.reading.motion.products import normal
from equibench.evidence.reading.motion.windows import coarser

__all__ = ["adaptive_rule"]

AdaptiveRule = Callable[[Context, nn.Module, list[Any], bool], Any]


def adaptive_rule(layer: nn.Module) -> AdaptiveRule | None:
    """The rule of a layer, if it is one of those known by their class."""
    kind = type(layer)
    return _LAYERS.get(f"{kind.__module__}.{kind.__qualname__}")


def _down(c: Context, layer: Any, inputs: list[Any], any_shift: bool) -> tuple[Value, Value]:
    (x,) = inputs
    if not isinstance(x, Value):
        raise Breaks("samples what does not depend on the input")
    c.pointwise(x.dims[1], "mixes what moves as if it were channels")
    if len(x.dims[0]) > 1 or any(isinstance(f, Moving) for f in x.dims[0]):
        raise Breaks("chooses for several images together")
    strides = _strides(layer, len(x.dims) - 2)
    dims: list[Dim] = []
    chosen: list[Factor] = []
    for dim, stride in zip(x.dims[2:], strides, strict=True):
        new, choice = _sampled(c, dim, stride, any_shift)
        dims.append(new)
        chosen.append(choice)
    c.notes.append("no two polyphase components tie" if any_shift else TIES)
    index = Value((x.dims[0],), choice=tuple(chosen))
    return Value((*x.dims[:2], *dims)), index


def _sampled(c: Context, dim: Dim, stride: int, any_shift: bool) -> tuple[Dim, Factor]:
    factor = dim[0] if len(dim) == 1 else None
    if isinstance(factor, Moving):
        if factor.size != factor.period or factor.spoiled:
            raise (
                factor.broken()
                if factor.spoiled
                else Breaks("samples a part of a map adaptively", [factor.axis])
            )
        if stride == 1:
            return dim, factor
        if not any_shift:
            chosen = coarser(factor, stride, c.lattice)
            return (replace(chosen, size=factor.size // stride),), factor
        if factor.period % stride or factor.stride < 0:
            raise Breaks(f"takes one of {stride} grids of {factor.period}", [factor.axis])
        # the parent must move by whole samples: by what its own lattice already says
        grid = Axis(f"{factor.axis.name}′", factor.period // stride, factor)
        new = Moving(grid, Fraction(1), grid.size, grid.size)
        return (new,), new
    c.pointwise(dim, "samples a flattened map")
    size = size_of(dim)
    return normal([Still(size // stride)]), Still(size)


def _up(c: Context, layer: Any, inputs: list[Any], any_shift: bool) -> Value:
    ranked = [(v, len(v.dims) if isinstance(v, Value) else v.ndim) for v in inputs]
    images = [v for v, rank in ranked if rank > 1]
    indices = [v for v, rank in ranked if rank == 1]
    if len(images) != 1 or len(indices) != 1 or not isinstance(images[0], Value):
        raise Breaks("puts samples on a grid that no sampling chose")
    x, index = images[0], indices[0]
    own = c.broadcast([Value((x.dims[0],)), index])  # an index for each image, moving or not
    if own.dims != (x.dims[0],):
        raise Breaks("puts samples on grids of other images")
    choices = index.choice if isinstance(index, Value) else None
    if choices is None and any_shift:
        axes = [f.axis for dim in x.dims for f in dim if isinstance(f, Moving)]
        raise Breaks("puts samples on a grid that no sampling chose", axes)
    strides = _strides(layer, len(x.dims) - 2)
    dims: list[Dim] = []
    for i, (dim, stride) in enumerate(zip(x.dims[2:], strides, strict=True)):
        dims.append(_spread(dim, stride, choices[i] if choices else None, any_shift))
    return Value((*x.dims[:2], *dims))


def _spread(dim: Dim, stride: int, choice: Factor | None, any_shift: bool) -> Dim:
    factor = dim[0] if len(dim) == 1 else None
    if stride == 1:
        return dim
    if isinstance(factor, Moving):
        if not any_shift:  # the index is the same for all shifts that are claimed
            return (factor.finer(stride),)
        parent = factor.axis.parent
        if factor == choice and parent is not None and factor.size * stride == parent.size:
            return (parent,)
        raise Breaks("puts samples on another grid than was chosen", [factor.axis])
    c_axes = [choice.axis] if isinstance(choice, Moving) else []
    if any(not isinstance(f, Still) for f in dim) or (any_shift and c_axes):
        axes = [f.axis for f in dim if isinstance(f, Moving)]
        raise Breaks("puts samples on another grid than was chosen", axes + c_axes)
    return normal([Still(size_of(dim) * stride)])


def _strides(layer: Any, dims: int) -> tuple[int, ...]:
    stride = layer.stride
    return (stride,) * dims if isinstance(stride, int) else tuple(stride)


_LAYERS: dict[str, AdaptiveRule] = {
    "equibench.models.polyphase.APSDown": _down,
    "equibench.models.polyphase.APSUp": _up,
}
"""By class, so that nothing here imports what may not be installed or in use."""
