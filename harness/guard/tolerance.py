"""How much worse than its baseline a figure may be, by metric, suite, model and group."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from equibench.errors import UsageError
from equibench.registry.specs import Spec

__all__ = ["DEFAULT", "Tolerance", "parse_tolerance", "pick", "read_tolerances", "refuse_unused"]


class Tolerance(BaseModel):
    """A rule: which figures it is about, and what it allows them.

    Args:
        relative: a figure may be so much further from the best value, as a share of the
            baseline's own distance.
        absolute: and so much further in any case, in the metric's unit.
        metric, statistic, model, suite, group: patterns, with ``*`` and ``?``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    relative: float = Field(default=0.1, ge=0)
    absolute: float = Field(default=0.0, ge=0)
    metric: str = "*"
    statistic: str = "*"
    model: str = "*"
    suite: str = "*"
    group: str = "*"

    def covers(self, **names: str) -> bool:
        """Whether it is about the figure at this model, suite, group, metric, statistic."""
        return all(fnmatchcase(value, getattr(self, name)) for name, value in names.items())


DEFAULT = Tolerance()
"""Ten per cent: reruns differ by rounding alone, and a change of design by more."""


def pick(tolerances: Sequence[Tolerance], **names: str) -> Tolerance:
    """The last rule that covers a figure, or the default."""
    return next((each for each in reversed(tolerances) if each.covers(**names)), DEFAULT)


def parse_tolerance(text: str) -> Tolerance:
    """Read ``eq_nmse=0.2`` or ``eq_nmse=0.2,absolute=1e-9,suite=mri-*``.

    Raises:
        UsageError: it does not say which metric, or names a field or value that cannot be.
    """
    metric, _, rest = text.partition("=")
    fields = Spec.parse(f"tolerance,relative={rest}").arguments
    if not metric or not rest or metric in Tolerance.model_fields:
        raise UsageError(
            f"--tolerance {text!r} begins with no metric: write eq_nmse=0.2,suite=mri-sample"
        )
    return _validated({"metric": metric, **fields}, f"--tolerance {text!r}")


def read_tolerances(path: Path) -> list[Tolerance]:
    """Read the ``[[tolerance]]`` tables of a TOML file.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None
    rules = content.pop("tolerance", [])
    if content or not isinstance(rules, list):
        raise UsageError(f"{path}: it takes [[tolerance]] tables and nothing else")
    return [_validated(rule, f"{path}, [[tolerance]] {n}") for n, rule in enumerate(rules, 1)]


def refuse_unused(tolerances: Iterable[Tolerance], figures: Iterable[Mapping[str, str]]) -> None:
    """See that every rule covers a figure: one that does not is mistyped.

    Raises:
        UsageError: one does not; the message names the figures there are.
    """
    known = list(figures)
    for each in tolerances:
        if not any(each.covers(**figure) for figure in known):
            fields = each.model_dump(exclude_unset=True)
            shown = ", ".join(f"{name} = {value}" for name, value in fields.items())
            values = {name: sorted({figure[name] for figure in known}) for name in known[0]}
            near = next(
                (n for n in values if not any(fnmatchcase(v, getattr(each, n)) for v in values[n])),
                "metric",
            )
            raise UsageError(
                f"the tolerance {shown} covers no figure; {near} is one of: "
                f"{', '.join(values[near])}"
            )


def _validated(fields: Mapping[str, Any], source: str) -> Tolerance:
    if not isinstance(fields, Mapping):
        raise UsageError(f"{source} is no table")
    try:
        return Tolerance(**fields)
    except ValidationError as error:
        problem = error.errors()[0]
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        close = get_close_matches(name, Tolerance.model_fields, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise UsageError(
            f"{source}: there is no field {name!r}{hint} There are: "
            f"{', '.join(Tolerance.model_fields)}"
        )
    raise UsageError(f"{source}: {name} = {problem['input']!r}: {problem['msg'].lower()}")
