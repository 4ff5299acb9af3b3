"""What a tensor becomes when something is written into a view of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from equibench.evidence.reading.motion.context import Context
from equibench.evidence.reading.motion.factors import Breaks, Dim, Moving, Still, Value, size_of
from equibench.evidence.reading.motion.products import normal, regrouped
from equibench.evidence.reading.motion.windows import padded

__all__ = ["unviewed"]

_REGROUP = {"view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze"}
_SAME = {"alias", "contiguous", "detach", "to", "dropout", "clone", "type_as", "lift_fresh"}
_SWAP = {"transpose", "swapaxes", "t"}


def unviewed(
    c: Context, name: str, arguments: dict[str, Any], parent: Value | Tensor, child: Value
) -> Value:
    """The tensor that an operator took a view of, after ``child`` was written into that view.

    Args:
        c: whose shape is the tensor's.
        name, arguments: of the operator that took the view.

    Raises:
        Breaks: the part that was written does not move as the rest does.
    """
    if name in _SAME:
        return child
    if name in _REGROUP:
        return Value(regrouped(child.dims, c.shape, c.lattice))
    if name == "permute":
        order = [d % len(child.dims) for d in arguments["dims"]]
        return Value(tuple(child.dims[order.index(d)] for d in range(len(order))))
    if name in _SWAP:
        first, second = (
            (arguments.get("dim0", 0), arguments.get("dim1", 1)) if name != "t" else (0, 1)
        )
        order = list(range(len(child.dims)))
        order[first], order[second] = order[second], order[first]
        return Value(tuple(child.dims[d] for d in order))
    whole = parent if isinstance(parent, Value) else _valued(parent)
    if name in ("slice", "narrow", "select"):
        d, places = _part(name, arguments, c.shape)
        if name == "select":
            child = Value((*child.dims[:d], (), *child.dims[d:]))
        return _replaced(c, whole, child, d, places)
    raise Breaks("changes in place a part of what is used as a whole")


def _part(name: str, arguments: dict[str, Any], shape: Sequence[int]) -> tuple[int, range]:
    d = arguments["dim"] % len(shape)
    size = shape[d]
    if name == "slice":
        bounds = slice(arguments.get("start"), arguments.get("end"), arguments.get("step", 1))
        return d, range(*bounds.indices(size))
    begin = int(arguments["start" if name == "narrow" else "index"]) % size
    return d, range(begin, begin + (arguments["length"] if name == "narrow" else 1))


def _valued(constant: Tensor) -> Value:
    """A constant as what stands still; dimensions along which it does not vary are even."""
    evens = [bool((constant == constant.narrow(d, 0, 1)).all()) for d in range(constant.ndim)]
    pairs = zip(constant.shape, evens, strict=True)
    return Value(tuple(normal([Still(n, even)]) for n, even in pairs))


def _replaced(c: Context, whole: Value, part: Value, d: int, places: range) -> Value:
    dims: list[Dim] = []
    for i, (old, new) in enumerate(zip(whole.dims, part.dims, strict=True)):
        dims.append(_along(c, old, new, places) if i == d else c.met(old, new))
    return Value(tuple(dims))


def _along(c: Context, old: Dim, new: Dim, places: range) -> Dim:
    """The dimension along which only some places were written."""
    size, step = size_of(old), places.step
    if len(places) == size and step == 1:
        return c.met(old, new)
    if all(isinstance(f, Still) for f in (*old, *new)):
        return normal([Still(size)])
    covers = len(places) * step == size and places.start < step
    background = all(isinstance(f, Still) and f.even for f in old)
    moving = new[0] if len(new) == 1 else None
    if background and isinstance(moving, Moving):
        if covers:
            return (moving.finer(step),)
        if step == 1:
            blame = c.blame("writes a map into a part of another")
            after = size - len(places) - places.start
            return (padded(moving, places.start, after, blame),)
    whole = old[0] if len(old) == 1 else None
    if covers and isinstance(whole, Moving) and whole.size == whole.period and not whole.spoiled:
        coarse = replace(
            whole, stride=whole.stride * step, period=whole.period // step, size=len(places)
        )
        c.lattice.require(coarse.axis, coarse.stride)
        c.met((coarse,), new)
        return old
    axes = [f.axis for f in (*old, *new) if isinstance(f, Moving)]
    raise Breaks("writes into a part of a map", axes)
