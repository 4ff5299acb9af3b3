"""What users type for a transform: ``NAME:PLAN``."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from equibench.errors import UsageError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.registry.registries import TRANSFORMS
from equibench.registry.specs import Spec
from equibench.transforms.shift_plans import DEFAULT_SHIFTS, PLANS, parse_shifts
from equibench.transforms.transform import Transform

__all__ = ["parse_transform", "told_apart"]


def parse_transform(text: str) -> Transform:
    """Read ``crop:grid:max=8,window=128`` or ``d4:grid=2,label=turned``.

    The plan of a transform that moves by shifts may begin as one of ``--shifts`` does (``random:``,
    ``grid:``, ``all``, ``file:``); what is no setting of the transform belongs to it.

    Raises:
        UsageError: no transform has that name, or it takes no such settings.
    """
    name, settings, drawn = _parts(text)
    entry = TRANSFORMS.get(name)
    built = entry.require()
    if isinstance(built, Transform):
        if settings.arguments or drawn:
            raise UsageError(f"transform {name!r} is built already: it takes no settings")
        transform = built
    else:
        taken = inspect.signature(built).parameters
        arguments: dict[str, Any] = dict(settings.arguments)
        if "plan" in taken:
            rest = ",".join(f"{k}={arguments.pop(k)}" for k in [*arguments] if k not in taken)
            plan = f"{drawn}:{rest}" if drawn else f"random:{rest}" if rest else ""
            if plan or taken["plan"].default is inspect.Parameter.empty:
                arguments["plan"] = parse_shifts(plan.rstrip(":") or DEFAULT_SHIFTS, name)
        elif drawn:
            raise UsageError(f"{text!r}: {name} draws no shifts; it takes {', '.join(taken)}")
        entry.check(arguments)
        _numbers(name, arguments, taken)
        with guarded(
            lambda error: f"transform {text!r} cannot be built: {kind_and_reason(error)}",
            UsageError,
        ):
            transform = built(**arguments)
    if not isinstance(transform, Transform):
        raise UsageError(f"transform {name!r} gives a {type(transform).__name__}, no Transform")
    transform.name, transform.label = entry.name, settings.chosen_label or entry.name
    return transform


def _numbers(
    name: str, arguments: Mapping[str, Any], taken: Mapping[str, inspect.Parameter]
) -> None:
    """See that what is a number by default, and no text as well, is given as one."""
    for key, value in arguments.items():
        default = taken[key].default if key in taken else None
        if not isinstance(default, int | float) or "str" in str(taken[key].annotation):
            continue
        if not isinstance(value, int | float):
            raise UsageError(
                f"transform {name!r}: {key}={value} is no number: write "
                f"{name}:{key}={max(1, default)}"
            )


def told_apart(transforms: Iterable[Transform]) -> tuple[Transform, ...]:
    """Transforms that rows can keep apart.

    Raises:
        UsageError: two have one label.
    """
    found: dict[str, Transform] = {}
    for transform in transforms:
        if transform.label in found:
            raise UsageError(f"two transforms are called {transform.label!r}: give one a label=…")
        found[transform.label] = transform
    return tuple(found.values())


def _parts(text: str) -> tuple[str, Spec, str]:
    """Name, settings, and which shifts are drawn (``random``, or ``file:PATH``)."""
    head, _, plan = text.strip().partition(":")
    if head.endswith(".py") or (head and "/" in head):  # path/to/file.py:attribute:plan
        attribute, _, plan = plan.partition(":")
        head = f"{head}:{attribute}"
    drawn, colon, rest = plan.partition(":")
    drawn = drawn.strip()
    if not colon:
        drawn, _, rest = plan.partition(",")
    if drawn.strip() not in PLANS:
        drawn, rest = "", plan
    if drawn == "file":
        path, _, rest = rest.partition(",")
        drawn = f"file:{path}"
    return head.strip(), Spec.parse(f"transform,{rest}" if rest.strip() else "transform"), drawn
