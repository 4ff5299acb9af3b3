"""What ``equibench ls`` shows."""

import shutil
import textwrap

from equibench.registry import METRICS, MODELS, REPORTS, SUITES, Entry, Registry

__all__ = ["listing"]

_REGISTRIES: dict[str, Registry[object]] = {
    "models": MODELS,  # type: ignore[dict-item]
    "suites": SUITES,  # type: ignore[dict-item]
    "metrics": METRICS,
    "reports": REPORTS,  # type: ignore[dict-item]
}


def listing(kind: str, containing: str = "", width: int | None = None) -> str:
    """The entries of one kind: name, whether it can run here, what it is, where it comes from.

    Args:
        containing: only names with this in them.
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
    return "\n".join(lines) + "\n"


def _lines(entry: Entry[object], longest: int, width: int) -> list[str]:
    reason = entry.unavailable()
    text = f"{entry.info.summary} ({entry.origin})" if reason is None else f"{reason}"
    mark = "✓" if reason is None else "✗"
    first = f"  {mark} {entry.name:{longest}}  "
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * len(first)) or [
        first
    ]
