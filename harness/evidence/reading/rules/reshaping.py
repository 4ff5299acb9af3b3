"""Transfer rules of operators that reshape, permute and repeat dimensions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from equibench.evidence.reading.motion.context import Context
from equibench.evidence.reading.motion.factors import Breaks, Dim, Moving, Still, Value
from equibench.evidence.reading.motion.products import normal
from equibench.evidence.reading.rules.table import rule

__all__: list[str] = []


@rule("view", "reshape", "_unsafe_view", "_reshape_alias", "view_copy", "flatten", "unflatten",
      "unsqueeze", "squeeze", "atleast_1d", "atleast_2d", "atleast_3d", "view_as", "reshape_as",
      "ravel", "_reshape_copy", "squeeze_copy", "unsqueeze_copy", "alias_copy")  # fmt: skip
def reshape(c: Context, self: Value, **_: Any) -> Value:
    return c.reshaped(self, c.shape)


@rule("permute", "permute_copy")
def permute(c: Context, self: Value, dims: Sequence[int]) -> Value:
    return Value(tuple(self.dims[d] for d in dims))


@rule("transpose", "swapaxes", "swapdims", "transpose_copy")
def transpose(c: Context, self: Value, **names: int) -> Value:
    first, second = names.values()
    order = list(range(len(self.dims)))
    order[first], order[second] = order[second], order[first]
    return permute(c, self, order)


@rule("t", "numpy_T", "mT", "adjoint", "matrix_H")
def t(c: Context, self: Value) -> Value:
    order = list(range(len(self.dims)))
    order[-2:] = order[-2:][::-1]
    return permute(c, self, order)


@rule("movedim", "moveaxis")
def movedim(c: Context, self: Value, source: Any, destination: Any) -> Value:
    rank = len(self.dims)
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    marker = torch.empty([i + 2 for i in range(rank)], device="meta").movedim(sources, targets)
    return permute(c, self, [n - 2 for n in marker.shape])


@rule("pixel_shuffle")
def pixel_shuffle(c: Context, self: Value, upscale_factor: int) -> Value:
    r = upscale_factor
    *head, channels, height, width = self.shape
    split = c.reshaped(self, [*head, channels // r**2, r, r, height, width])
    n = len(head)
    order = [*range(n + 1), n + 3, n + 1, n + 4, n + 2]
    return c.reshaped(permute(c, split, order), c.shape)


@rule("pixel_unshuffle")
def pixel_unshuffle(c: Context, self: Value, downscale_factor: int) -> Value:
    r = downscale_factor
    *head, channels, height, width = self.shape
    split = c.reshaped(self, [*head, channels, height // r, r, width // r, r])
    n = len(head)
    order = [*range(n + 1), n + 2, n + 4, n + 1, n + 3]
    return c.reshaped(permute(c, split, order), c.shape)


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(c: Context, self: Value, groups: int) -> Value:
    c.pointwise(self.dims[1], "shuffles what moves")
    return _with(self, 1, (Still(c.shape[1]),))


# what joins and parts


@rule("stack")
def stack(c: Context, tensors: Sequence[Any], dim: int = 0) -> Value:
    d = dim % len(c.shape)
    together = c.broadcast(list(tensors))
    return Value((*together.dims[:d], normal([Still(len(tensors))]), *together.dims[d:]))


@rule("repeat", "tile")
def repeat(c: Context, self: Value, **names: Sequence[int]) -> Value:
    (times,) = names.values()
    dims: list[Dim] = list(self.dims)
    dims = [()] * (len(times) - len(dims)) + dims
    times = [1] * (len(dims) - len(times)) + list(times)
    for d, n in enumerate(times):
        dim = dims[d]
        if n == 1:
            continue
        if len(dim) == 1 and isinstance(dim[0], Moving) and dim[0].whole:
            dims[d] = (replace(dim[0], size=dim[0].size * n),)
        else:
            dims[d] = normal((Still(n, even=True), *dim))
    return Value(tuple(dims))


@rule("repeat_interleave")
def repeat_interleave(c: Context, self: Value, repeats: Any, dim: int | None = None,
                      output_size: int | None = None) -> Value:  # fmt: skip
    if not isinstance(repeats, int) or dim is None:
        raise Breaks("repeats samples unequally")
    d = dim % len(self.dims)
    return _with(self, d, (*self.dims[d], Still(repeats, even=True)))


@rule("embedding")
def embedding(c: Context, weight: Any, indices: Value, **_: Any) -> Value:
    if isinstance(weight, Value):
        raise Breaks("looks up what depends on the input")
    return Value((*indices.dims, normal([Still(c.shape[-1])])))


@rule("one_hot")
def one_hot(c: Context, self: Value, num_classes: int = -1) -> Value:
    return Value((*self.dims, normal([Still(c.shape[-1])])))


def _with(value: Value, d: int, dim: Sequence[Any]) -> Value:
    return Value((*value.dims[:d], normal(dim), *value.dims[d + 1 :]))
