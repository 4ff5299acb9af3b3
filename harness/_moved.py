"""Modules of earlier versions: their public names still work under the old paths, and warn."""

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED", "install", "public_names_of"]

MOVED: dict[str, dict[str, str]] = {
    "adapters": {"adapt": "adapt"},
    "api": {"Result": "Result", "evaluate": "evaluate"},
    "attribution": {"attribute": "attribute"},
    "cases": {"Case": "Case", "ImageCases": "ImageCases", "Suite": "Suite"},
    "config": {"RunConfig": "RunConfig"},
    "forensics": {"forensics": "trace_flips"},
    "guard": {"assert_shift_equivariant": "assert_shift_equivariant"},
    "metrics": {"Metric": "Metric"},
    "registry": {
        name: name
        for name in ("register_metric", "register_model", "register_report", "register_suite")
    },
    "runner": {"run": "run"},
    "store": {"RunFolder": "RunFolder"},
}
"""By old module: its public names, and what they are called in ``equibench`` now."""


def public_names_of(module: str) -> Callable[[str], object]:
    """The ``__getattr__`` of an old module: its public names from ``equibench``, with a warning."""
    names = MOVED[module]

    def find(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module 'equibench.{module}' has no attribute {name!r}")
        warnings.warn(
            f"equibench.{module}.{name} has moved: write `from equibench import {names[name]}`",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module("equibench"), names[name])

    return find


class _OldModules(MetaPathFinder, Loader):
    """Finds the modules that are no more; where a room has taken the name, it is found first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == "equibench" and module in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = public_names_of(module.__name__.rpartition(".")[2])  # type: ignore[method-assign]


def install() -> None:
    """Let the old modules be found, after all that exist."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())
