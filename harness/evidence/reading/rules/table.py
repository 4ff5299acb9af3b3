"""The table of transfer rules, and what several of them share."""

from collections.abc import Callable
from typing import Any, TypeVar

from equibench.evidence.reading.motion.factors import Dim, Moving, Value

__all__ = ["RULES", "Rule", "axes_of", "each", "only", "rule"]

Rule = Callable[..., Any]
"""From a context and the operator's arguments by name to the value that it gives, or a tuple."""

R = TypeVar("R", bound=Rule)

RULES: dict[str, Rule] = {}
"""By an operator's name in ATen, without its overload and the underscore of in-place ones."""


def rule(*names: str) -> Callable[[R], R]:
    """Register a transfer rule under the names of operators."""

    def register(function: R) -> R:
        for name in names:
            assert name not in RULES, name
            RULES[name] = function
        return function

    return register


def each(option: Any, count: int) -> list[int]:
    values = [option] if isinstance(option, int) else [int(n) for n in option]
    return values * count if len(values) == 1 else values


def only(dim: Dim) -> Any:
    """The factor of a dimension that has one."""
    return dim[0] if len(dim) == 1 else None


def axes_of(value: Value) -> list[Any]:
    return [f.axis for dim in value.dims for f in dim if isinstance(f, Moving)]
