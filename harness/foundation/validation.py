"""Fields that users write, checked against a pydantic model: one line says what is wrong."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

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
        raise UsageError(f"{source}: {problem['msg'].removeprefix('Value error, ')}")
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        names = [field.alias or name for name, field in model.model_fields.items()]
        close = get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        known = ", ".join(names)
        raise UsageError(f"{source}: there is no field {name!r}{hint} There are: {known}")
    if problem["type"] == "missing":
        raise UsageError(f'{source}: {name} is missing; write {name} = ["…"]')
    said = [p["msg"].removeprefix("Value error, ") for p in problems if p["loc"][0] == name]
    reasons = " or ".join(said).lower()
    raise UsageError(f"{source}: {name} = {problem['input']!r}: {reasons}")
