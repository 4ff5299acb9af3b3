"""Transfer rules of what slides over maps or pads them: convolutions, pooling, unfolding."""

from collections.abc import Sequence
from math import prod
from typing import Any

from equibench.evidence.reading.motion.context import Context
from equibench.evidence.reading.motion.factors import Breaks, Dim, Moving, Still, Value, size_of
from equibench.evidence.reading.motion.products import normal
from equibench.evidence.reading.motion.windows import padded, scattered, slid, wrapped
from equibench.evidence.reading.rules.table import each, only, rule

__all__: list[str] = []

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
    strides, dilations = each(stride, count), each(dilation, count)
    reaches = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    if padding == "same":
        pads = [((r - 1) // 2, r // 2) for r in reaches]
    elif padding == "valid":
        pads = [(0, 0)] * count
    else:
        pads = [(p, p) for p in each(padding, count)]
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
        value.dims[2:], kernel, each(stride, count), each(padding, count),
        each(dilation, count), c.shape[2:], strict=True,
    )  # fmt: skip
    for dim, k, t, p, d, size in options:
        reach = d * (k - 1) + 1
        if isinstance(moving := only(dim), Moving):
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
    kernel, dilations = each(kernel_size, count), each(dilation, count)
    strides = each(stride, count) if stride not in ([], None) else kernel
    reaches = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [(p, p) for p in each(padding, count)]
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
    kernel = each(kernel_size, count)
    strides = each(stride, count) if stride not in ([], None) else kernel
    pads = [(p, p) for p in each(padding, count)]
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
        if isinstance(moving := only(dim), Moving):
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
        if isinstance(moving := only(dims[d]), Moving):
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


@rule("unfold")
def unfold(c: Context, self: Value, dimension: int, size: int, step: int) -> Value:
    d = dimension % len(self.dims)
    dims = list(self.dims)
    if isinstance(moving := only(dims[d]), Moving):
        blame = c.blame("unfolds")
        dims[d] = (slid(moving, size, step, c.shape[d], blame, c.lattice),)
    else:
        c.pointwise(dims[d], _BESIDE)
        dims[d] = normal([Still(c.shape[d])])
    return Value((*dims, normal([Still(size)])))


@rule("im2col")
def im2col(c: Context, self: Value, kernel_size: Any, dilation: Any, padding: Any,
           stride: Any) -> Value:  # fmt: skip
    k, d, p, t = (each(n, 2) for n in (kernel_size, dilation, padding, stride))
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
    k, d, p, t = (each(n, 2) for n in (kernel_size, dilation, padding, stride))
    reaches = [d[i] * (k[i] - 1) + 1 for i in (0, 1)]
    counts = [(output_size[i] + 2 * p[i] - reaches[i]) // t[i] + 1 for i in (0, 1)]
    c.pointwise(self.dims[1], "mixes what moves as if it were channels")
    channels = self.shape[1] // prod(k)
    parted = c.reshaped(self, [self.shape[0], self.shape[1], *counts])
    dims = (parted.dims[0], normal([Still(channels)]), *parted.dims[2:])
    inner = Context(c.node, c.lattice, ((c.shape[0], channels, *output_size),))
    return _transposed(inner, Value(dims), k, t, p, d)


def _dims_of(c: Context) -> int:
    name = str(c.node.target)
    return next(int(n) for n in "123" if f"{n}d" in name)
