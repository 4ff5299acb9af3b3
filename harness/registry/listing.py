"""What is registered, as names and as ``equibench ls`` shows it."""

import inspect
import shutil
import textwrap
from typing import Any

from equibench.registry.registries import (
    METRICS,
    MODELS,
    REPORTS,
    SUITES,
    TRACKERS,
    TRANSFORMS,
    TREATMENTS,
    Entry,
    Registry,
)

__all__ = [
    "list_metrics",
    "list_models",
    "list_reports",
    "list_suites",
    "list_trackers",
    "list_transforms",
    "list_treatments",
    "listing",
]

_REGISTRIES: dict[str, Registry[object]] = {
    "models": MODELS,  # type: ignore[dict-item]
    "suites": SUITES,  # type: ignore[dict-item]
    "transforms": TRANSFORMS,  # type: ignore[dict-item]
    "metrics": METRICS,
    "reports": REPORTS,  # type: ignore[dict-item]
    "treatments": TREATMENTS,  # type: ignore[dict-item]
    "trackers": TRACKERS,  # type: ignore[dict-item]
}


def list_models() -> list[str]:
    """The names of all registered models, also of those whose extra is missing."""
    return _names(MODELS)


def list_suites() -> list[str]:
    """The names of all registered suites, also of those whose extra or data are missing."""
    return _names(SUITES)


def list_transforms() -> list[str]:
    """The names of all registered transforms."""
    return _names(TRANSFORMS)


def list_metrics() -> list[str]:
    """The names of all registered metrics."""
    return _names(METRICS)


def list_reports() -> list[str]:
    """The names of all registered reports."""
    return _names(REPORTS)


def list_treatments() -> list[str]:
    """The names of all registered treatments."""
    return _names(TREATMENTS)


def list_trackers() -> list[str]:
    """The names of all registered trackers, also of those whose extra is missing."""
    return _names(TRACKERS)


def _names(registry: Registry[Any]) -> list[str]:
    # what reads files has their suffix or prefix for a name
    names = [entry.name for entry in registry.entries() if not entry.is_prefix]
    return [name for name in names if not name.startswith(".")]


def listing(kind: str, containing: str = "", width: int | None = None) -> str:
    """The entries of one kind: name, whether it can run here, what it is, where it comes from.

    Args:
        containing: only names with this in them; what the one that is meant says of itself
            follows.
        width: of the terminal, in characters.
    """
    entries = [e for e in _REGISTRIES[kind].entries() if containing in e.name]
    if not entries:
        return f"{kind}: none" + (f" with {containing!r} in its name" if containing else "")
    longest = max(len(entry.name) for entry in entries)
    width = width or shutil.get_terminal_size((120, 24)).columns
    lines = [kind]
    for entry in entries:
        lines += _lines(entry, longest, width)
    asked = [entry for entry in entries if entry.name == containing or len(entries) == 1]
    for entry in asked[:1] if containing else []:
        lines += ["", *_details(entry, width)]
    return "\n".join(lines) + "\n"


def _lines(entry: Entry[object], longest: int, width: int) -> list[str]:
    reason = entry.unavailable()
    text = f"{entry.info.summary} ({entry.origin})" if reason is None else f"{reason}"
    mark = "✓" if reason is None else "✗"
    first = f"  {mark} {entry.name:{longest}}  "
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * len(first)) or [
        first
    ]


def _details(entry: Entry[object], width: int) -> list[str]:
    """All that an entry says of itself, a line for each."""
    if entry.unavailable() is not None:
        return []
    said: dict[str, object] = {"arguments": ", ".join(_arguments(entry))}
    if entry.kind == "model":
        said["parameters"] = _parameters(entry)
    said |= entry.info.details
    said["weights"] = ", ".join(entry.info.weights)
    lines = []
    for name, value in said.items():
        if value not in (None, ""):
            first = f"    {name.replace('_', ' ')}: "
            lines += textwrap.wrap(
                f"{value}", width, initial_indent=first, subsequent_indent=" " * 6
            )
    return lines


def _arguments(entry: Entry[object]) -> list[str]:
    """What an object takes, as users type it."""
    try:
        parameters = inspect.signature(entry.object).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in named]
    return [*shown, "…"] if len(named) < len(parameters) else shown


def _parameters(entry: Entry[object]) -> str | None:
    """How many a model has that is built with its defaults, if it can be without arguments."""
    import torch

    for device in ("meta", "cpu"):  # without memory for them, if the library can
        try:
            with torch.device(device):
                network = entry.object() if callable(entry.object) else None
        except Exception:  # it needs arguments, or cannot be built there
            continue
        if isinstance(network, torch.nn.Module):
            return f"{sum(p.numel() for p in network.parameters()):,}"
    return None
