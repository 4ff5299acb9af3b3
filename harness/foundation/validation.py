"""Fields that users write, checked against a pydantic model: one line says what is wrong."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from equibench.errors import UsageError

__all__ = ["checked"]

M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], fields: Mapping[str, Any], source: str) -> M:
    """Check fields, and say what is wrong with the first that is.

    Raises:
        UsageError: an unknown field (with the closest), a missing one, or a bad value.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        # a field that does not exist explains one that is missing
        problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    problem = problems[0]
    if not problem["loc"]:  # of the fields together
        raise UsageError(f"{source}: {_said(problem)}")
    path = _written(problem["loc"], fields)
    *outer, name = path
    if isinstance(name, int):  # one of a list
        *outer, name = *outer[:-1], _shown([*outer[-1:], name])
    if outer:
        source = f"{source}, {_shown(outer)}"
    if problem["type"] == "extra_forbidden":
        names = [field.alias or name for name, field in _within(model, outer).model_fields.items()]
        close = get_close_matches(str(name), names, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        known = ", ".join(names)
        raise UsageError(f"{source}: there is no field {name!r}{hint} There are: {known}")
    if problem["type"] == "missing":
        raise UsageError(f'{source}: {name} is missing; write {name} = ["…"]')
    if problem["type"] == "tuple_type" and isinstance(problem["input"], Mapping):
        raise UsageError(f"{source}: {name} is one table, not a list of them: write [[{name}]]")
    reasons = " or ".join(_said(p) for p in problems if p["loc"][: len(path)] == path).lower()
    raise UsageError(f"{source}: {name} = {problem['input']!r}: {reasons}")


_EXPECTED = {
    "tuple_type": "should be a list",
    "too_short": "should not be empty",
    "dict_type": "should be a table",
    "model_type": "should be a table",
}
"""What is said of kinds of values that TOML calls otherwise than Python."""


def _said(problem: Mapping[str, Any]) -> str:
    return _EXPECTED.get(problem["type"], str(problem["msg"]).removeprefix("Value error, "))


def _written(path: tuple[str | int, ...], fields: object) -> tuple[str | int, ...]:
    """The part of a path that is of the fields; pydantic goes on with the kinds of a union."""
    for depth, part in enumerate(path):
        if isinstance(part, str) and isinstance(fields, Mapping):
            fields = fields.get(part)
        elif isinstance(part, int) and isinstance(fields, list | tuple):
            fields = fields[part]
        else:
            return path[:depth]
    return path


def _shown(outer: Sequence[str | int]) -> str:
    """``also[1]``, counted from 1."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else str(part) for part in outer)


def _within(model: type[BaseModel], outer: Sequence[str | int]) -> type[BaseModel]:
    """The model of the fields at a path."""
    for name in outer:
        if isinstance(name, str):
            inner = get_args(model.model_fields[name].annotation)
            model = next((kind for kind in inner if hasattr(kind, "model_fields")), model)
    return model
