"""Transfer rules of operators that take maps element by element."""

from collections.abc import Mapping
from typing import Any

from equibench.evidence.reading.motion.context import Context, flat_tensors
from equibench.evidence.reading.motion.factors import Breaks, Still, Value
from equibench.evidence.reading.motion.products import normal
from equibench.evidence.reading.rules.table import rule

__all__ = ["elementwise"]


def elementwise(c: Context, arguments: Mapping[str, Any]) -> Value:
    """Any operator that takes its operands element by element."""
    return c.broadcast(flat_tensors(arguments.values()))


@rule("alias", "clone", "contiguous", "detach", "lift_fresh_copy", "lift_fresh", "to", "_to_copy",
      "type_as", "requires_grad", "_conj", "resolve_conj", "resolve_neg", "float", "double")  # fmt: skip  # noqa: E501
def same(c: Context, self: Value, **_: Any) -> Value:
    return self


@rule("dropout", "feature_dropout", "alpha_dropout")
def dropout(
    c: Context, p: float, train: bool, input: Value | None = None, self: Value | None = None
) -> Value | None:
    return self if input is None else input  # training was refused before


@rule("copy")
def copy(c: Context, self: Any, src: Any, non_blocking: bool = False) -> Value:
    return _filled(c, src)


@rule("fill")
def fill(c: Context, self: Any, value: Any) -> Value:
    return _filled(c, value)


def _filled(c: Context, value: Any) -> Value:
    even = Value(tuple(normal([Still(n, even=True)]) for n in c.shape))
    return c.broadcast([even, value])


@rule("zero", "zeros_like", "ones_like")
def zero(c: Context, self: Any, **_: Any) -> Value:
    return _filled(c, 0)


@rule("full_like")
def full_like(c: Context, self: Any, fill_value: Any, **_: Any) -> Value:
    return _filled(c, 0)


@rule("new_zeros", "new_ones", "new_full")
def new(c: Context, self: Any, **_: Any) -> Value:
    return _filled(c, 0)


@rule("expand", "expand_as", "expand_copy", "broadcast_to")
def expand(c: Context, self: Value, **_: Any) -> Value:
    return _filled(c, self)


@rule("prelu")
def prelu(c: Context, self: Value, weight: Any) -> Value:
    if isinstance(weight, Value):
        raise Breaks("has weights that depend on the input")
    shape = [1] * len(self.dims)
    if len(self.dims) > 1:
        shape[1] = weight.numel()
    return c.broadcast([self, weight.reshape(shape)])


@rule("glu")
def glu(c: Context, self: Value, dim: int = -1) -> Value:
    d = dim % len(self.dims)
    c.pointwise(self.dims[d], "gates one half of a map by the other")
    return Value((*self.dims[:d], normal([Still(c.shape[d])]), *self.dims[d + 1 :]))


@rule("cosine_similarity")
def cosine_similarity(c: Context, x1: Any, x2: Any, dim: int = 1, eps: float = 0.0) -> Value:
    both = c.broadcast([x1, x2])
    d = dim % len(both.dims)
    c.summed([both.dims[d]])
    return Value(both.dims[:d] + both.dims[d + 1 :])
