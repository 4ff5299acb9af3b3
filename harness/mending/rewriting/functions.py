"""PyTorch's functions that slide windows, pad or resample, carried out under a plan."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from equibench.mending.rewriting.resampling import Resampling
from equibench.mending.rewriting.wrapping import Sizes, Window, each, enlarged, resized, wrapped

__all__ = ["HANDLERS"]


def _conv(
    here: Resampling, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Any:  # fmt: skip
    dims = weight.ndim - 2
    steps, holes = each(stride, dims), each(dilation, dims)
    extent = tuple(d * (k - 1) + 1 for d, k in zip(holes, weight.shape[2:], strict=True))
    if isinstance(padding, str):
        total = [k - 1 if padding == "same" else 0 for k in extent]
        before = tuple(t // 2 for t in total)
        after = tuple(t - t // 2 for t in total)
    else:
        before = after = each(padding, dims)

    def plain() -> Any:
        return func(input, weight, bias, stride, padding, dilation, groups)

    if input.ndim != dims + 2:
        return plain()
    window = Window(
        extent, steps, before, after, False,
        lambda x, s: func(x, weight, bias, s, 0, dilation, groups),
    )  # fmt: skip
    return here.window("convolution", input, window, plain)


def _pool(
    here: Resampling, func: Any, input: Tensor, kernel: Any, stride: Any, padding: Any,
    dilation: Any, ceil: bool, apply: Callable[[Tensor, Sizes], Tensor],
    plain: Callable[[], Any], name: str,
) -> Any:  # fmt: skip
    dims = input.ndim - 2
    holes, sides = each(dilation, dims), each(kernel, dims)
    extent = tuple(d * (k - 1) + 1 for d, k in zip(holes, sides, strict=True))
    steps = sides if stride is None or stride == [] else each(stride, dims)
    before = each(padding, dims)
    window = Window(extent, steps, before, before, ceil, apply)
    return here.window(name, input, window, plain)


def _max_pool(
    here: Resampling, func: Any, input: Tensor, kernel_size: Any, stride: Any = None,
    padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    def plain() -> Any:
        options = {"ceil_mode": ceil_mode, "return_indices": return_indices}
        return func(input, kernel_size, stride, padding, dilation, **options)

    if return_indices:
        here.notes.add("max pooling that returns indices", done=False)
        return plain()
    return _pool(
        here, func, input, kernel_size, stride, padding, dilation, ceil_mode,
        lambda x, s: func(x, kernel_size, s, 0, dilation), plain, "max pooling",
    )  # fmt: skip


def _avg_pool(
    here: Resampling, func: Any, input: Tensor, kernel_size: Any, stride: Any = None,
    padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:  # fmt: skip
    more = (divisor_override,) if divisor_override is not None else ()
    return _pool(
        here, func, input, kernel_size, stride, padding, 1, ceil_mode,
        lambda x, s: func(x, kernel_size, s, 0, False, True, *more),
        lambda: func(input, kernel_size, stride, padding, ceil_mode, count_include_pad, *more),
        "average pooling",
    )  # fmt: skip


def _adaptive_pool(here: Resampling, func: Any, input: Tensor, output_size: Any) -> Any:
    dims = input.ndim - 2
    given = each(output_size, dims)
    coarse = tuple(n if m is None else m for n, m in zip(input.shape[2:], given, strict=True))
    whole = all(n % m == 0 for n, m in zip(input.shape[2:], coarse, strict=True))
    if not whole or max(coarse) == 1 or coarse == tuple(input.shape[2:]):
        return func(input, output_size)
    return here.picked("adaptive pooling", input, coarse, lambda x: func(x, output_size))


def _pad(
    here: Resampling, func: Any, input: Tensor, pad: Any, mode_: str = "constant", value: Any = None
) -> Any:
    sides = [int(side) for side in pad]
    spatial = sides[: 2 * max(0, input.ndim - 2)]
    if (
        not here.plan.circular
        or mode_ == "circular"
        or not any(sides)
        or min(sides) < 0
        or any(sides[len(spatial) :])
    ):
        return func(input, pad, mode_, value)
    axes = list(zip(spatial[::2], spatial[1::2], strict=True))
    pads = [*([(0, 0)] * (input.ndim - 2 - len(axes))), *reversed(axes)]
    here.notes.add("padding: circular")
    return wrapped(input, pads, tuple(input.shape[2:]))


def _padding(
    here: Resampling, func: Any, /, input: Tensor, pad: Any, *rest: Any, **named: Any
) -> Any:  # ``mode`` is a keyword of PyTorch's as well
    how = rest[0] if rest else named.get("mode", "constant")
    value = rest[1] if len(rest) > 1 else named.get("value")
    return _pad(here, func, input, pad, how, value)


def _transposed(
    here: Resampling, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Any:  # fmt: skip
    def plain() -> Any:
        return func(input, weight, bias, stride, padding, output_padding, groups, dilation)

    if not here.wraps or input.ndim != weight.ndim:
        return plain()
    name = "transposed convolution"
    options = {
        "bias": bias, "stride": stride, "padding": padding, "output_padding": output_padding,
        "groups": groups, "dilation": dilation,
    }  # fmt: skip
    out = enlarged(input, weight, options, func)
    if out is None:
        here.notes.add(f"{name} whose output is no multiple of its input", done=False)
        return plain()
    if weight.shape[2:] != torch.Size(each(stride, weight.ndim - 2)):
        here.notes.add(f"{name}: circular")
    return out if out.shape[2:] == input.shape[2:] else here.placed(name, input, out)


def _interpolate(
    here: Resampling, func: Any, input: Tensor, size: Any = None, scale_factor: Any = None,
    mode_: str = "nearest", align_corners: bool | None = None, antialias: bool = False,
    **more: Any,
) -> Any:  # fmt: skip
    given = tuple(input.shape[2:])

    def plain() -> Any:
        options = {"align_corners": align_corners} if align_corners is not None else {}
        options |= {"antialias": True} if antialias else {}
        return func(input, size, scale_factor, mode_, **options, **more)

    if not here.wraps:
        return plain()
    wanted = _target(given, size, scale_factor)
    grows = all(w % n == 0 for n, w in zip(given, wanted, strict=True))
    shrinks = all(n % w == 0 for n, w in zip(given, wanted, strict=True))
    if wanted == given or (max(given) == 1 and grows):
        return plain()  # a constant stays one
    if not grows and not shrinks:
        here.notes.add(f"{mode_} interpolation by no whole number", done=False)
        return plain()
    options = {"antialias": True} if antialias else {}

    def run(x: Tensor) -> Tensor:
        return resized(x, wanted, mode_, **options)

    name = f"{mode_} interpolation"
    if mode_ in ("linear", "bilinear", "bicubic", "trilinear"):
        corners = ", align_corners=False" if align_corners else ""
        here.notes.add(f"{name}: circular{corners}")
    if shrinks:
        return here.picked(name, input, wanted, run)
    return here.placed(name, input, run(input))


def _interpolation(here: Resampling, func: Any, /, input: Tensor, *rest: Any, **named: Any) -> Any:
    names = ("size", "scale_factor", "mode_", "align_corners", "recompute_scale_factor")
    given = dict(zip(names, rest, strict=False)) | named
    given["mode_"] = given.pop("mode", given.get("mode_", "nearest"))
    return _interpolate(here, func, input, **given)


def _target(sizes: Sizes, size: Any, factor: Any) -> Sizes:
    if size is not None:
        return tuple(int(n) for n in each(size, len(sizes)))
    factors = factor if isinstance(factor, tuple | list) else (factor,) * len(sizes)
    return tuple(int(n * f) for n, f in zip(sizes, factors, strict=True))


def _shuffle(here: Resampling, func: Any, input: Tensor, upscale_factor: int) -> Any:
    return here.placed("pixel shuffle", input, func(input, upscale_factor))


def _unshuffle(here: Resampling, func: Any, input: Tensor, downscale_factor: int) -> Any:
    coarse = tuple(n // downscale_factor for n in input.shape[2:])
    return here.picked("pixel unshuffle", input, coarse, lambda x: func(x, downscale_factor))


HANDLERS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _conv),
    **dict.fromkeys(
        (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d), _transposed
    ),
    **dict.fromkeys(
        (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d), _max_pool
    ),
    **dict.fromkeys(
        (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d), _avg_pool
    ),
    **dict.fromkeys((functional.adaptive_avg_pool2d,), _adaptive_pool),
    functional.pad: _padding,
    functional.interpolate: _interpolation,
    torch.pixel_shuffle: _shuffle,
    torch.pixel_unshuffle: _unshuffle,
}
