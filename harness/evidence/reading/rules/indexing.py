"""Transfer rules of what picks samples of maps, or puts maps side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equibench.evidence.reading.motion.context import Context
from equibench.evidence.reading.motion.factors import Breaks, Dim, Moving, Still, Value, size_of
from equibench.evidence.reading.motion.products import normal
from equibench.evidence.reading.motion.windows import continued, padded, picked
from equibench.evidence.reading.rules.table import axes_of, each, only, rule

__all__: list[str] = []


# samples that are picked


@rule("slice", "slice_copy")
def slice_(
    c: Context, self: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Value:
    d = dim % len(self.dims)
    size = self.shape[d]
    return _picked(c, self, d, range(*slice(start, end, step).indices(size)))


@rule("narrow", "narrow_copy")
def narrow(c: Context, self: Value, dim: int, start: Any, length: int) -> Value:
    d = dim % len(self.dims)
    begin = int(start) % self.shape[d] if int(start) < 0 else int(start)
    return _picked(c, self, d, range(begin, begin + length))


@rule("select", "select_copy")
def select(c: Context, self: Value, dim: int, index: Any) -> Value:
    if isinstance(index, Value):
        raise Breaks("picks a sample that depends on the input")
    d = dim % len(self.dims)
    position = int(index) % self.shape[d]
    one = _picked(c, self, d, range(position, position + 1))
    c.pointwise(one.dims[d], "picks one sample of a map")
    return Value(one.dims[:d] + one.dims[d + 1 :])


@rule("index_select", "index_select_copy")
def index_select(c: Context, self: Value, dim: int, index: Any) -> Value:
    if isinstance(index, Value) or not isinstance(self, Value):
        raise Breaks("picks samples that depend on the input")
    d = dim % len(self.dims)
    return _picked(c, self, d, index.tolist())


@rule("flip")
def flip(c: Context, self: Value, dims: Sequence[int]) -> Value:
    for dim in dims:
        d = dim % len(self.dims)
        self = _picked(c, self, d, range(self.shape[d] - 1, -1, -1))
    return self


@rule("rot90")
def rot90(c: Context, self: Value, k: int = 1, dims: Sequence[int] = (0, 1)) -> Value:
    first, second = (d % len(self.dims) for d in dims)
    turns = k % 4
    if turns == 0:
        return self
    if turns == 2:
        return flip(c, self, [first, second])
    if turns == 1:
        self = flip(c, self, [second])
    swapped = list(self.dims)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    turned = Value(tuple(swapped))
    return flip(c, turned, [second]) if turns == 3 else turned


@rule("roll")
def roll(c: Context, self: Value, shifts: Any, dims: Any = ()) -> Value:
    if dims in ([], (), None):
        raise Breaks("rolls a flattened map")
    for shift, dim in zip(each(shifts, 1), each(dims, 1), strict=True):
        d = dim % len(self.dims)
        factor = only(self.dims[d])
        if isinstance(factor, Moving) and factor.size != factor.period:
            raise Breaks("rolls a part of a map", [factor.axis])
        n = self.shape[d]
        self = _picked(c, self, d, [(i - int(shift)) % n for i in range(n)])
    return self


@rule("split", "split_with_sizes", "chunk", "tensor_split", "split_copy", "unsafe_chunk",
      "unsafe_split", "split_with_sizes_copy")  # fmt: skip
def split(c: Context, self: Value, dim: int = 0, **_: Any) -> tuple[Any, ...]:
    d = dim % len(self.dims)
    parts, begin = list[Any](), 0
    for shape in c.shapes:
        end = begin + shape[d]
        parts.append(_tried(c, lambda b=begin, e=end: _picked(c, self, d, range(b, e))))
        begin = end
    return tuple(parts)


@rule("unbind", "unbind_copy")
def unbind(c: Context, self: Value, dim: int = 0) -> tuple[Any, ...]:
    count = len(c.shapes)
    return tuple(_tried(c, lambda i=i: select(c, self, dim, i)) for i in range(count))


def _tried(c: Context, make: Any) -> Any:
    """One of several results: what breaks is lost without the others."""
    try:
        return make()
    except Breaks as breaks:
        return breaks


@rule("index")
def index(c: Context, self: Any, indices: Sequence[Any]) -> Value:
    if isinstance(self, Tensor):
        return _looked_up(c, self, indices)
    if any(isinstance(i, Value) for i in indices):
        raise Breaks("picks samples that depend on the input")
    given = [(d, i) for d, i in enumerate(indices) if i is not None]
    if any(i.dtype == torch.bool for _, i in given):
        raise Breaks("picks samples by a mask")
    shape = torch.Size(np.broadcast_shapes(*(tuple(i.shape) for _, i in given)))
    spread = [i.expand(shape) for _, i in given]
    places = [d for d, _ in given]
    value = self
    if all(all(isinstance(f, Still) for f in self.dims[d]) for d in places):
        new: list[Dim] = [normal([Still(n)]) for n in shape]
    else:
        new = [()] * len(shape)
        for d, full in zip(places, spread, strict=True):
            own = [e for e in range(len(shape)) if not _constant(full, e)]
            if len(own) > 1:
                raise Breaks("picks samples one by one", axes_of(self))
            along = (
                full.movedim(own[0], -1).reshape(-1, shape[own[0]])[0]
                if own
                else full.flatten()[:1]
            )
            value = _picked(c, value, d, (along % self.shape[d]).tolist())
            if not own:
                c.pointwise(value.dims[d], "picks one sample of a map")
            elif new[own[0]]:
                raise Breaks("picks samples along a diagonal", axes_of(self))
            else:
                new[own[0]] = value.dims[d]
        for e, n in enumerate(shape):
            if size_of(new[e]) != n:
                new[e] = normal([Still(n, even=True)])
    rest = [dim for d, dim in enumerate(value.dims) if d not in places]
    contiguous = places == list(range(places[0], places[0] + len(places)))
    at = places[0] if contiguous else 0
    return Value((*rest[:at], *new, *rest[at:]))


def _looked_up(c: Context, table: Tensor, indices: Sequence[Any]) -> Value:
    """A constant read at places that depend on the input."""
    if any(i is None for i in indices):
        raise Breaks("looks up places that depend on the input")
    found = c.broadcast(list(indices))
    rest = table.shape[len(indices) :]
    return Value((*found.dims, *(normal([Still(n)]) for n in rest)))


def _constant(index: Tensor, dim: int) -> bool:
    return bool((index == index.narrow(dim, 0, 1)).all())


def _picked(c: Context, value: Value, d: int, places: Sequence[int]) -> Value:
    """Samples along one dimension, in an order."""
    dim, count = value.dims[d], len(places)
    if count == size_of(dim) and all(i == p for i, p in enumerate(places)):
        return value
    if count == 0:
        raise Breaks("keeps nothing of a map", axes_of(value))
    offsets, source = [value.offset(i) for i in range(len(value.dims))], object()
    new: Dim
    if all(isinstance(f, Still) for f in dim):
        new = (Still(count, all(isinstance(f, Still) and f.even for f in dim)),)
    elif isinstance(moving := only(dim), Moving):
        indices = np.asarray(places, dtype=np.int64)
        new = (picked(moving, indices, c.lattice),)
        if count == 1 or bool(((indices[1:] - indices[:-1] - 1) % moving.period == 0).all()):
            source, offsets[d] = value.source, offsets[d] + places[0]
            if new[0].stride != moving.stride:
                source = object()
    else:
        first, *rest = dim
        inner = size_of(rest)
        blocks = [p // inner for p in places[::inner]]
        whole = [b * inner + i for b in blocks for i in range(inner)]
        if not isinstance(first, Still) or list(places) != whole:
            raise Breaks("picks samples of a flattened map", axes_of(value))
        new = (Still(len(blocks), first.even), *rest)
    dims = (*value.dims[:d], normal(new), *value.dims[d + 1 :])
    return Value(dims, source, tuple(offsets))


def _windows_joined(c: Context, parts: Sequence[Any], d: int) -> Dim | None:
    """The dimension along which windows on one map are put side by side, as circular padding is
    written; constants before and after them spoil its ends.
    """
    shapes = [p.shape[d] for p in parts]
    moving = [i for i, p in enumerate(parts) if isinstance(p, Value) and _moves(p.dims[d])]
    if not moving:
        return None
    first, last = moving[0], moving[-1]
    middle = parts[first : last + 1]
    if len(moving) != len(middle):
        return None
    windows = []
    for part in middle:
        factor = only(part.dims[d])
        if not isinstance(factor, Moving):
            return None
        others = [part.offset(e) for e in range(len(part.dims)) if e != d]
        start = [middle[0].offset(e) for e in range(len(part.dims)) if e != d]
        if len(middle) > 1 and (part.source is not middle[0].source or others != start):
            return None
        windows.append((factor, part.offset(d)))
    joined = windows[0][0] if len(windows) == 1 else continued(windows)
    if joined is None:
        return None
    before, after = sum(shapes[:first]), sum(shapes[last + 1 :])
    return (padded(joined, before, after, c.blame("puts something beside a map")),)


@rule("cat", "concat", "concatenate")
def cat(c: Context, tensors: Sequence[Any], dim: int = 0) -> Value:
    parts = list(tensors)
    rank = len(c.shape)
    d = dim % rank
    values = [p for p in parts if isinstance(p, Value)]
    along = [p.dims[d] if isinstance(p, Value) else None for p in parts]
    moving = any(not isinstance(f, Still) for p in values for f in p.dims[d])
    others = c.broadcast([_dropped(p, d) for p in parts])
    if not moving:
        new: Dim = (Still(c.shape[d]),)
    else:
        joined = _windows_joined(c, parts, d)
        if joined is not None:
            new = joined
        elif None not in along and len(set(along)) == 1:
            new = (Still(len(parts)), *along[0])  # type: ignore[misc]
        else:
            axes = [f.axis for p in values for f in p.dims[d] if isinstance(f, Moving)]
            raise Breaks("puts maps side by side that do not continue each other", axes)
    return Value((*others.dims[:d], normal(new), *others.dims[d:]))


@rule("gather")
def gather(c: Context, self: Any, dim: int, index: Any, sparse_grad: bool = False) -> Value:
    d = dim % len(c.shape)
    for operand in (self, index):
        if isinstance(operand, Value):
            c.pointwise(operand.dims[d], "gathers from a map by places on it")
    if not isinstance(self, Value):
        raise Breaks("gathers from a constant")
    if self.shape[:d] + self.shape[d + 1 :] != c.shape[:d] + c.shape[d + 1 :]:
        raise Breaks("gathers from a part of a map")
    rest = c.broadcast([_dropped(self, d), _dropped(index, d)])
    return Value((*rest.dims[:d], normal([Still(c.shape[d])]), *rest.dims[d:]))


def _dropped(operand: Any, d: int) -> Any:
    """An operand without one dimension; of a constant, all that it has along it must agree."""
    if isinstance(operand, Value):
        return Value(operand.dims[:d] + operand.dims[d + 1 :])
    assert isinstance(operand, Tensor)
    rest = operand.shape[:d] + operand.shape[d + 1 :]
    if operand.numel() == 0 or operand.shape[d] == 1:
        return operand.reshape(rest) if operand.numel() else torch.zeros(rest)
    even = bool((operand == operand.narrow(d, 0, 1)).all())
    if even:
        return operand.select(d, 0)
    # every slice has to fit by itself; together they are one constant with more values
    codes = torch.unique(operand.movedim(d, 0).reshape(operand.shape[d], -1), dim=1,
                         return_inverse=True)[1]  # fmt: skip
    return codes.reshape(rest)


def _moves(dim: Dim) -> bool:
    return any(isinstance(f, Moving) for f in dim)
