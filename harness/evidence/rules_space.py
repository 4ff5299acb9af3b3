"""Transfer rules of operators that look along the dimensions of a map."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from equibench.evidence.context import Context
from equibench.evidence.motion import Breaks, Dim, Moving, Still, Value, normal, size_of
from equibench.evidence.rules import rule
from equibench.evidence.windows import (
    continued,
    padded,
    picked,
    resampled,
    scattered,
    slid,
    wrapped,
)

__all__ = ["windows_joined"]

_BESIDE = "mixes neighbours along a dimension that is no map"


@rule("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
def convolution(
    c: Context, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int, transposed: bool = False, output_padding: Any = 0, **_: Any,
) -> Value:  # fmt: skip
    value = _checked(c, input, weight, bias)
    kernel = tuple(weight.shape[2:])
    count = len(kernel)
    if transposed:
        return _transposed(c, value, kernel, stride, padding, dilation)
    strides, dilations = _each(stride, count), _each(dilation, count)
    reaches = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    if padding == "same":
        pads = [((r - 1) // 2, r // 2) for r in reaches]
    elif padding == "valid":
        pads = [(0, 0)] * count
    else:
        pads = [(p, p) for p in _each(padding, count)]
    return _windows(c, value, reaches, strides, pads, "convolves with zero padding")


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    c: Context, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    output_padding: Any, groups: int, dilation: Any,
) -> Value:  # fmt: skip
    value = _checked(c, input, weight, bias)
    return _transposed(c, value, tuple(weight.shape[2:]), stride, padding, dilation)


def _checked(c: Context, input: Any, weight: Any, bias: Any) -> Value:
    if isinstance(weight, Value) or isinstance(bias, Value):
        raise Breaks("convolves with a kernel that depends on the input")
    if len(input.dims) != weight.ndim:
        raise Breaks("convolves an image without a batch")
    c.pointwise(input.dims[1], "mixes what moves as if it were channels")
    value: Value = input
    return value


def _transposed(
    c: Context, value: Value, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> Value:
    count = len(kernel)
    dims: list[Dim] = [value.dims[0], normal([Still(c.shape[1])])]
    blame = c.blame("transposed convolution adds up fewer samples at the border")
    options = zip(
        value.dims[2:], kernel, _each(stride, count), _each(padding, count),
        _each(dilation, count), c.shape[2:], strict=True,
    )  # fmt: skip
    for dim, k, t, p, d, size in options:
        reach = d * (k - 1) + 1
        if isinstance(moving := _only(dim), Moving):
            dims.append((scattered(moving, reach, t, p, size, blame),))
        elif (k, t, p) == (1, 1, 0):
            dims.append(dim)
        else:
            c.pointwise(dim, _BESIDE)
            dims.append(normal([Still(size)]))
    return Value(tuple(dims))


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(
    c: Context, self: Value, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> Value:  # fmt: skip
    count = _dims_of(c)
    kernel, dilations = _each(kernel_size, count), _each(dilation, count)
    strides = _each(stride, count) if stride not in ([], None) else kernel
    reaches = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [(p, p) for p in _each(padding, count)]
    return _windows(c, self, reaches, strides, pads, "pools with padding")


@rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def max_pool_with_indices(c: Context, **arguments: Any) -> tuple[Any, Any]:
    pooled = max_pool(c, **arguments)
    return pooled, c.blame("gives the places of maxima, which are absolute")


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    c: Context, self: Value, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: Any = None,
) -> Value:  # fmt: skip
    count = _dims_of(c)
    kernel = _each(kernel_size, count)
    strides = _each(stride, count) if stride not in ([], None) else kernel
    pads = [(p, p) for p in _each(padding, count)]
    return _windows(c, self, kernel, strides, pads, "pools with padding")


def _windows(
    c: Context, value: Value, reaches: Sequence[int], strides: Sequence[int],
    pads: Sequence[tuple[int, int]], reason: str,
) -> Value:  # fmt: skip
    """Kernels slid over the last dimensions; those before are apart, but a convolution's second."""
    count = len(reaches)
    dims: list[Dim] = list(value.dims[:-count])
    if "conv" in reason:
        dims[1] = normal([Still(c.shape[1])])
    blame = c.blame(reason)
    options = zip(value.dims[-count:], reaches, strides, pads, c.shape[-count:], strict=True)
    for dim, reach, step, (before, after), size in options:
        if isinstance(moving := _only(dim), Moving):
            wide = padded(moving, before, after, blame)
            dims.append((slid(wide, reach, step, size, blame, c.lattice),))
        elif (reach, step, before, after) == (1, 1, 0, 0):
            dims.append(dim)
        else:
            c.pointwise(dim, _BESIDE)
            even = not (before or after) and all(isinstance(f, Still) and f.even for f in dim)
            exact = size_of(dim) >= (size - 1) * step + reach
            dims.append(normal([Still(size, even and exact)]))
    return Value(tuple(dims))


@rule("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
      "replication_pad1d", "replication_pad2d", "replication_pad3d", "_pad_circular")  # fmt: skip
def pad(c: Context, self: Value, mode: str = "", value: Any = None, **names: Any) -> Value:
    (amounts,) = names.values()
    name = str(c.node.target)
    circular = mode == "circular" or "_pad_circular" in name
    kind = mode or ("constant" if "constant" in name else "reflect" if "reflect" in name else "")
    dims = list(self.dims)
    words = {"constant": "pads with a constant", "reflect": "pads by reflection"}
    blame = c.blame(words.get(kind, "pads by repeating the border"))
    for i in range(len(amounts) // 2):
        before, after = amounts[2 * i], amounts[2 * i + 1]
        d = len(dims) - 1 - i
        if not before and not after:
            continue
        if isinstance(moving := _only(dims[d]), Moving):
            new = (
                wrapped(moving, before, after)
                if circular
                else (padded(moving, before, after, blame))
            )
            dims[d] = (new,)
        else:
            c.pointwise(dims[d], "pads a dimension that is no map")
            still = all(isinstance(f, Still) and f.even for f in dims[d])
            copies = circular or kind != "constant" or (before <= 0 and after <= 0)
            dims[d] = normal([Still(c.shape[d], still and copies)])
    return Value(tuple(dims))


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
    place = int(index) % self.shape[d]
    one = _picked(c, self, d, range(place, place + 1))
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
    for shift, dim in zip(_each(shifts, 1), _each(dims, 1), strict=True):
        d = dim % len(self.dims)
        factor = _only(self.dims[d])
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
    shape = torch.broadcast_shapes(*(i.shape for _, i in given))
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
                raise Breaks("picks samples one by one", _axes(self))
            along = (
                full.movedim(own[0], -1).reshape(-1, shape[own[0]])[0]
                if own
                else full.flatten()[:1]
            )
            value = _picked(c, value, d, (along % self.shape[d]).tolist())
            if not own:
                c.pointwise(value.dims[d], "picks one sample of a map")
            elif new[own[0]]:
                raise Breaks("picks samples along a diagonal", _axes(self))
            else:
                new[own[0]] = value.dims[d]
        for e, n in enumerate(shape):
            if size_of(new[e]) != n:
                new[e] = normal([Still(n, even=True)])
    rest = [dim for d, dim in enumerate(value.dims) if d not in places]
    contiguous = places == list(range(places[0], places[0] + len(places)))
    at = places[0] if contiguous else 0
    return Value(tuple([*rest[:at], *new, *rest[at:]]))


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
        raise Breaks("keeps nothing of a map", _axes(value))
    offsets, source = [value.offset(i) for i in range(len(value.dims))], object()
    new: Dim
    if all(isinstance(f, Still) for f in dim):
        new = (Still(count, all(isinstance(f, Still) and f.even for f in dim)),)
    elif isinstance(moving := _only(dim), Moving):
        indices = np.asarray(places, dtype=np.int64)
        new = (picked(moving, indices, c.lattice),)
        if count == 1 or bool(((indices[1:] - indices[:-1] - 1) % moving.period == 0).all()):
            source, offsets[d] = value.source, offsets[d] + places[0]
            if new[0].stride != moving.stride:  # type: ignore[union-attr]
                source = object()
    else:
        first, *rest = dim
        inner = size_of(rest)
        blocks = [p // inner for p in places[::inner]]
        whole = [b * inner + i for b in blocks for i in range(inner)]
        if not isinstance(first, Still) or list(places) != whole:
            raise Breaks("picks samples of a flattened map", _axes(value))
        new = (Still(len(blocks), first.even), *rest)
    dims = (*value.dims[:d], normal(new), *value.dims[d + 1 :])
    return Value(dims, source, tuple(offsets))


def windows_joined(c: Context, parts: Sequence[Any], d: int) -> Dim | None:
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
        factor = _only(part.dims[d])
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


@rule("unfold")
def unfold(c: Context, self: Value, dimension: int, size: int, step: int) -> Value:
    d = dimension % len(self.dims)
    dims = list(self.dims)
    if isinstance(moving := _only(dims[d]), Moving):
        blame = c.blame("unfolds")
        dims[d] = (slid(moving, size, step, c.shape[d], blame, c.lattice),)
    else:
        c.pointwise(dims[d], _BESIDE)
        dims[d] = normal([Still(c.shape[d])])
    return Value((*dims, normal([Still(size)])))


@rule("im2col")
def im2col(c: Context, self: Value, kernel_size: Any, dilation: Any, padding: Any,
           stride: Any) -> Value:  # fmt: skip
    k, d, p, t = (_each(n, 2) for n in (kernel_size, dilation, padding, stride))
    reaches = [d[i] * (k[i] - 1) + 1 for i in (0, 1)]
    c.pointwise(self.dims[1], "mixes what moves as if it were channels")
    sizes = [(self.shape[2 + i] + 2 * p[i] - reaches[i]) // t[i] + 1 for i in (0, 1)]
    inner = Context(c.node, c.lattice, ((c.shape[0], self.shape[1], *sizes),))
    windows = _windows(inner, self, reaches, t, [(n, n) for n in p], "unfolds with padding")
    channels = normal([Still(c.shape[1])])
    return Value((windows.dims[0], channels, normal((*windows.dims[2], *windows.dims[3]))))


@rule("col2im")
def col2im(c: Context, self: Value, output_size: Any, kernel_size: Any, dilation: Any,
           padding: Any, stride: Any) -> Value:  # fmt: skip
    k, d, p, t = (_each(n, 2) for n in (kernel_size, dilation, padding, stride))
    reaches = [d[i] * (k[i] - 1) + 1 for i in (0, 1)]
    counts = [(output_size[i] + 2 * p[i] - reaches[i]) // t[i] + 1 for i in (0, 1)]
    c.pointwise(self.dims[1], "mixes what moves as if it were channels")
    channels = self.shape[1] // prod(k)
    parted = c.reshaped(self, [self.shape[0], self.shape[1], *counts])
    dims = (parted.dims[0], normal([Still(channels)]), *parted.dims[2:])
    inner = Context(c.node, c.lattice, ((c.shape[0], channels, *output_size),))
    return _transposed(inner, Value(dims), k, t, p, d)


# resampling


@rule("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
      "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d",
      "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d",
      "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "adaptive_avg_pool1d",
      "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d",
      "_adaptive_avg_pool3d")  # fmt: skip
def resample(c: Context, **arguments: Any) -> Value:
    value = arguments.get("self", arguments.get("input"))
    assert isinstance(value, Value)
    name = str(c.node.target).split(".")[1]
    count = next(int(n) for n in "123" if f"{n}d" in name)
    return _resampled(c, value, count, lambda i: _weights(name, arguments, count, i, value, c))


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(c: Context, self: Value, output_size: Any) -> tuple[Any, Any]:
    name = str(c.node.target).split(".")[1]
    count = next(int(n) for n in "123" if f"{n}d" in name)

    def windows(i: int) -> Tensor:
        eye = torch.eye(self.shape[i - count], dtype=torch.float64)[None]
        return functional.adaptive_avg_pool1d(eye, c.shape[i - count])[0].T

    pooled = _resampled(c, self, count, windows)
    return pooled, c.blame("gives the places of maxima, which are absolute")


def _resampled(c: Context, value: Value, count: int, weights: Any) -> Value:
    dims = list(value.dims)
    blame = c.blame("resamples otherwise at the border")
    for i in range(count):
        d = len(dims) - count + i
        dim, size = dims[d], c.shape[d]
        if all(isinstance(f, Still) for f in dim):
            even = all(isinstance(f, Still) and f.even for f in dim)
            dims[d] = normal([Still(size, even)])
        elif size == 1:
            c.summed([dim], "averages")
            dims[d] = ()
        elif isinstance(moving := _only(dim), Moving):
            matrix = weights(i).numpy()
            if matrix.shape[0] == matrix.shape[1] and (matrix == np.eye(size)).all():
                continue
            dims[d] = (resampled(moving, matrix, blame, c.lattice),)
        else:
            raise Breaks("resamples a flattened map", _axes(value))
    return Value(tuple(dims))


def _weights(
    name: str, arguments: dict[str, Any], count: int, i: int, value: Value, c: Context
) -> Tensor:
    """The matrix (size out, size in) of a separable resampling along one of its dimensions."""
    size = value.shape[i - count]
    eye = torch.eye(size, dtype=torch.float64)[None, :, :, None]  # (1, C, size, 1)
    target = [c.shape[i - count], 1]
    if name.startswith(("adaptive", "_adaptive")):
        out = functional.adaptive_avg_pool2d(eye, target)
        return out[0, :, :, 0].T
    scale = arguments.get("scale_factors")
    if scale is None:
        scale = arguments.get(f"scales_{'dhw'[3 - count + i]}", arguments.get("scales"))
    else:
        scale = scale[i]
    kinds = {"nearest_exact": "_upsample_nearest_exact2d", "nearest": "upsample_nearest2d",
             "linear": "upsample_bilinear2d", "bicubic": "upsample_bicubic2d"}  # fmt: skip
    kind = next(v for k, v in kinds.items() if k in name)
    if name.endswith("_aa"):
        kind = f"_{kind}_aa"
    corners = [arguments["align_corners"]] if "align_corners" in arguments else []
    operator = getattr(torch.ops.aten, kind).default
    out = operator(eye, target, *corners, scale, None)
    return out[0, :, :, 0].T  # type: ignore[no-any-return]


# helpers


def _each(option: Any, count: int) -> list[int]:
    values = [option] if isinstance(option, int) else [int(n) for n in option]
    return values * count if len(values) == 1 else values


def _dims_of(c: Context) -> int:
    name = str(c.node.target)
    return next(int(n) for n in "123" if f"{n}d" in name)


def _only(dim: Dim) -> Any:
    """The factor of a dimension that has one."""
    return dim[0] if len(dim) == 1 else None


def _moves(dim: Dim) -> bool:
    return any(isinstance(f, Moving) for f in dim)


def _axes(value: Value) -> list[Any]:
    return [f.axis for dim in value.dims for f in dim if isinstance(f, Moving)]
