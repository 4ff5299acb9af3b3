"""Transfer rules of operators that reduce, normalise or contract dimensions, and of attention."""

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

from torch import Tensor

from equibench.evidence.reading.motion.context import Context, Operand
from equibench.evidence.reading.motion.factors import Blame, Breaks, Dim, Still, Value
from equibench.evidence.reading.motion.products import normal
from equibench.evidence.reading.rules.pointwise import elementwise
from equibench.evidence.reading.rules.table import rule

__all__ = ["contracted"]


# reductions


@rule("sum", "mean", "prod", "amax", "amin", "logsumexp", "any", "all", "var", "std", "norm",
      "linalg_vector_norm", "nansum", "nanmean", "count_nonzero", "nanmedian",
      "frobenius_norm")  # fmt: skip
def reduction(c: Context, self: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    return _reduced(c, self, dim, keepdim)


@rule("var_mean", "std_mean", "aminmax")
def two_reductions(
    c: Context, self: Value, dim: Any = None, keepdim: bool = False, **_: Any
) -> tuple[Value, Value]:
    found = _reduced(c, self, dim, keepdim)
    return found, found


@rule("max", "min", "median", "mode", "nanmedian_dim")
def extremum(c: Context, self: Value, dim: Any = None, keepdim: bool = False, **names: Any) -> Any:
    if "other" in names:
        return c.broadcast([self, names["other"]])
    found = _reduced(c, self, dim, keepdim)
    if dim is None:
        return found
    return found, _places(c, self, [dim % len(self.dims)], found)


@rule("argmax", "argmin")
def argmax(c: Context, self: Value, dim: Any = None, keepdim: bool = False) -> Any:
    dims = range(len(self.dims)) if dim is None else [dim % len(self.dims)]
    return _places(c, self, dims, _reduced(c, self, dim, keepdim))


@rule("topk", "sort", "kthvalue")
def ordered(c: Context, self: Value, dim: int = -1, **_: Any) -> tuple[Any, Any]:
    d = dim % len(self.dims)
    c.summed([self.dims[d]], "orders")
    size = c.shape[d] if len(c.shape) == len(self.dims) else 1
    new: Sequence[Dim] = [normal([Still(size)])] if len(c.shape) == len(self.dims) else []
    found = Value((*self.dims[:d], *new, *self.dims[d + 1 :]))
    return found, _places(c, self, [d], found)


def _places(c: Context, value: Value, dims: Sequence[int], found: Value) -> Value | Blame:
    """The places of what was chosen: they stand still where the dimension does."""
    still = all(isinstance(f, Still) for d in dims for f in value.dims[d])
    return found if still else c.blame("gives places on a map, which are absolute")


@rule("softmax", "_softmax", "log_softmax", "_log_softmax", "softmin")
def softmax(c: Context, self: Value, dim: int, **_: Any) -> Value:
    c.summed([self.dims[dim % len(self.dims)]], "normalises over")
    return Value(self.dims)


@rule("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
def cumulative(c: Context, self: Value, dim: int = -1, **_: Any) -> Any:
    c.pointwise(self.dims[dim % len(self.dims)], "accumulates along a map, from its border")
    d = dim % len(self.dims)
    shape = c.shape
    found = Value((*self.dims[:d], normal([Still(shape[d])]), *self.dims[d + 1 :]))
    return (found,) * len(c.shapes) if len(c.shapes) > 1 else found


def _reduced(c: Context, value: Value, dim: Any, keepdim: bool) -> Value:
    rank = len(value.dims)
    chosen = [dim] if isinstance(dim, int) else list(dim) if dim is not None else []
    dims = {d % rank for d in chosen} or set(range(rank))
    c.summed([value.dims[d] for d in sorted(dims)])
    if keepdim:
        return Value(tuple(() if d in dims else own for d, own in enumerate(value.dims)))
    return Value(tuple(own for d, own in enumerate(value.dims) if d not in dims))


# norms


@rule("batch_norm", "native_batch_norm", "_native_batch_norm_legit_no_training",
      "cudnn_batch_norm", "_batch_norm_no_update")  # fmt: skip
def batch_norm(c: Context, input: Value, **options: Any) -> Any:
    if options.get("training") or options.get("running_mean") is None:
        raise Breaks("normalises by statistics of the batch")
    if any(isinstance(o, Value) for o in options.values()):
        raise Breaks("normalises by what depends on the input")
    c.pointwise(input.dims[1], "normalises what moves as if it were channels")
    return _first(c, Value(input.dims))


@rule("instance_norm")
def instance_norm(c: Context, input: Value, use_input_stats: bool = True, **_: Any) -> Value:
    c.pointwise(input.dims[1], "normalises what moves as if it were channels")
    if use_input_stats:
        c.summed(input.dims[2:], "normalises over")
    return Value(input.dims)


@rule("group_norm", "native_group_norm")
def group_norm(c: Context, input: Value, **_: Any) -> Any:
    c.pointwise(input.dims[1], "normalises what moves as if it were channels")
    c.summed(input.dims[2:], "normalises over")
    return _first(c, Value(input.dims))


@rule("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm")
def layer_norm(c: Context, input: Value, normalized_shape: Sequence[int], **options: Any) -> Any:
    count = len(normalized_shape)
    c.summed(input.dims[-count:], "normalises over")
    weights = [w for w in (options.get("weight"), options.get("bias")) if w is not None]
    return _first(c, c.broadcast([Value(input.dims), *weights]))


def _first(c: Context, value: Value) -> Any:
    """What an operator gives beside its value is of no use here."""
    if len(c.shapes) < 2:
        return value
    others = [c.blame("gives statistics") for _ in c.shapes[1:]]
    return (value, *others)


# contractions


def contracted(
    c: Context, operands: Sequence[Operand], labels: Sequence[str], result: str
) -> Value:
    """A sum of products, as einsum has it: a letter for every dimension of every operand."""
    letters = list(dict.fromkeys("".join(labels)))
    dims: list[Dim] = [()] * len(letters)
    for operand, own in zip(operands, labels, strict=True):
        if isinstance(operand, Value):
            for letter, dim in zip(own, operand.dims, strict=True):
                i = letters.index(letter)
                dims[i] = c.met(dims[i], dim)
    for operand, own in zip(operands, labels, strict=True):
        if isinstance(operand, Tensor):
            order = sorted(range(len(own)), key=lambda d: letters.index(own[d]))
            places = [letters.index(own[d]) for d in order]
            constant = operand.permute(order)
            shape = [1] * len(letters)
            for position, size in zip(places, constant.shape, strict=True):
                shape[position] = size
            dims = c.admitted(constant.reshape(shape), dims)
    c.summed(
        [d for d, letter in zip(dims, letters, strict=True) if letter not in result], "sums over"
    )
    return Value(tuple(dims[letters.index(letter)] for letter in result))


@rule("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner_matmul")
def matmul(c: Context, self: Any, **names: Any) -> Value:
    (other,) = names.values()
    return _product(c, self, other)


def _product(c: Context, a: Any, b: Any) -> Value:
    ranks = [len(o.dims) if isinstance(o, Value) else o.ndim for o in (a, b)]
    batch = ascii_letters[: max(*ranks, 2) - 2]
    left = "YZ" if ranks[0] > 1 else "Z"
    right = "ZX" if ranks[1] > 1 else "Z"
    own = [batch[len(batch) - (r - 2) :] if r > 2 else "" for r in ranks]
    result = batch + ("Y" if ranks[0] > 1 else "") + ("X" if ranks[1] > 1 else "")
    return contracted(c, [a, b], [own[0] + left, own[1] + right], result)


@rule("addmm", "addbmm", "baddbmm", "addmv")
def addmm(c: Context, self: Any, **names: Any) -> Value:
    a, b, *_ = names.values()
    return c.broadcast([self, _product(c, a, b)])


@rule("linear")
def linear(c: Context, input: Any, weight: Any, bias: Any = None) -> Value:
    rank = len(input.dims) if isinstance(input, Value) else input.ndim
    batch = ascii_letters[: rank - 1]
    one = weight.ndim == 1 if isinstance(weight, Tensor) else len(weight.dims) == 1
    labels = [batch + "Z", "Z" if one else "YZ"]
    product = contracted(c, [input, weight], labels, batch if one else batch + "Y")
    return product if bias is None else c.broadcast([product, bias])


@rule("einsum")
def einsum(c: Context, equation: str, tensors: Sequence[Any], path: Any = None) -> Value:
    equation = equation.replace(" ", "")
    left, arrow, result = equation.partition("->")
    labels = left.split(",")
    if not arrow or "." in equation or any(len(set(own)) < len(own) for own in labels):
        raise Breaks("is an einsum without a rule")
    return contracted(c, tensors, labels, result)


@rule("scaled_dot_product_attention")
def attention(
    c: Context, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: Any = None, enable_gqa: bool = False,
) -> Value:  # fmt: skip
    if enable_gqa:
        raise Breaks("is grouped attention, which has no rule")
    if dropout_p:
        raise Breaks("drops attention at random")
    rank = len(c.shape)
    batch = ascii_letters[: rank - 2]
    scores = contracted(c, [query, key], [batch + "LE", batch + "SE"], batch + "LS")
    if is_causal:
        for dim in scores.dims[-2:]:
            c.pointwise(dim, "attends to what comes before it")
    if attn_mask is not None:
        scores = c.broadcast([scores, attn_mask])
    c.summed([scores.dims[-1]], "attends to")
    return contracted(c, [scores, value], [batch + "LS", batch + "SV"], batch + "LV")


@rule(
    "addcmul", "addcdiv", "lerp", "where", "masked_fill", "clamp", "clamp_min", "clamp_max",
    "threshold", "hardtanh", "isclose", "rsub", "square", "floor_divide", "gelu", "silu",
    "mish", "leaky_relu", "selu", "celu", "rrelu_eval", "log_sigmoid", "logsigmoid",
    "hardswish", "relu6", "softplus", "true_divide", "divide", "multiply", "subtract",
    "arctan2", "absolute", "negative", "isnan", "isfinite", "isinf", "bitwise_not",
    "logical_not", "logical_and", "logical_or", "nan_to_num", "clip", "greater", "less",
    "square_", "float_power", "softshrink", "hardshrink", "tanhshrink", "softsign",
    "hardsigmoid", "elu", "relu", "sigmoid", "tanh", "add", "sub", "mul", "div", "maximum",
    "minimum",
)  # fmt: skip
def named_elementwise(c: Context, **arguments: Any) -> Value:
    return elementwise(c, arguments)
