"""What nodes of a captured graph say of themselves: names, shapes, memory."""

from typing import Any

from torch import Tensor, fx
from torch._ops import OpOverload

__all__ = ["flat", "is_real", "operator_name", "same_memory", "same_view", "shapes"]


def operator_name(target: OpOverload) -> str:
    """Of an operator of ATen, the same whether it works in place or not."""
    name = target._schema.name.removeprefix("aten::")
    plain = name.rstrip("_") if not name.startswith("__") else name
    return plain or name


def flat(values: Any) -> list[Any]:
    """Lists in lists as one."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, list | tuple):
            found += flat(value)
        else:
            found.append(value)
    return found


def shapes(node: fx.Node) -> tuple[tuple[int, ...], ...]:
    """The shapes of what a node gives; () of what is no tensor."""
    value = node.meta["val"]
    values = value if isinstance(value, tuple | list) else (value,)
    return tuple(tuple(v.shape) if isinstance(v, Tensor) else () for v in values)


def same_memory(first: Any, second: Tensor) -> bool:
    """Whether two tensors are the same view of the same memory."""
    return same_view(first, second) and bool(
        first.untyped_storage()._cdata == second.untyped_storage()._cdata
    )


def same_view(first: Any, second: Tensor) -> bool:
    """Whether two tensors have one layout."""
    return bool(
        isinstance(first, Tensor)
        and first.shape == second.shape
        and first.stride() == second.stride()
        and first.storage_offset() == second.storage_offset()
    )


def is_real(node: fx.Node) -> bool:
    """Whether a node gives floating-point numbers."""
    value = node.meta["val"]
    return isinstance(value, Tensor) and value.is_floating_point()
