"""What a shell offers where a command takes a name: what is registered, and run folders.

A shell asks at every press of a key: nothing that is heavy is imported here.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from equibench.registry.listing import (
    list_metrics,
    list_models,
    list_suites,
    list_transforms,
    list_treatments,
)

__all__ = ["metrics", "models", "runs", "suites", "transforms", "treatments"]

_DEPTH = 3
"""How far below a folder runs are looked for."""


def models(incomplete: str) -> list[str]:
    """Names of registered models; of files a shell knows itself."""
    return _beginning(incomplete, list_models())


def suites(incomplete: str) -> list[str]:
    """Names of registered suites."""
    return _beginning(incomplete, list_suites())


def transforms(incomplete: str) -> list[str]:
    """Names of registered transforms."""
    return _beginning(incomplete, list_transforms())


def metrics(incomplete: str) -> list[str]:
    """Names of registered metrics; of a list with commas, its last one."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _beginning(last, list_metrics())]


def treatments(incomplete: str) -> list[str]:
    """Names of registered treatments; of a sum, its last one."""
    before, plus, last = incomplete.rpartition("+")
    return [f"{before}{plus}{name}" for name in _beginning(last, list_treatments())]


def runs(incomplete: str) -> list[str]:
    """Run folders at, or a few folders below, what was typed."""
    begun, slash, last = incomplete.rpartition("/")
    folder = Path(f"{begun}{slash}") if slash else Path()
    found = {manifest.parent for manifest in _manifests(folder, last)}
    return sorted(str(path) for path in found)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _manifests(folder: Path, beginning: str) -> Iterator[Path]:
    try:
        inside = [p for p in folder.iterdir() if p.name.startswith(beginning or "")]
        shown = [p for p in inside if p.is_dir() and (beginning or not p.name.startswith("."))]
    except OSError:
        return
    for path in shown:
        for depth in range(_DEPTH):
            yield from path.glob("*/" * depth + "run.json")
