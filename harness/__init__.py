"""equibench measures how far image-to-image networks are from shift equivariance.

>>> import equibench as eb
>>> result = eb.evaluate(model, "mri-sample", shifts="random:n=10,max=16")  # doctest: +SKIP
>>> result.summary  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equibench.adapters import adapt
    from equibench.api import Result, evaluate
    from equibench.cases import Case, ImageCases, Suite
    from equibench.config import RunConfig
    from equibench.errors import DataError, EquibenchError, ModelError, UsageError
    from equibench.guard import assert_shift_equivariant
    from equibench.metrics import Metric
    from equibench.registry import (
        register_metric,
        register_model,
        register_report,
        register_suite,
    )
    from equibench.runner import run
    from equibench.store import RunFolder

__all__ = [
    "Case",
    "DataError",
    "EquibenchError",
    "ImageCases",
    "Metric",
    "ModelError",
    "Result",
    "RunConfig",
    "RunFolder",
    "Suite",
    "UsageError",
    "adapt",
    "assert_shift_equivariant",
    "evaluate",
    "register_metric",
    "register_model",
    "register_report",
    "register_suite",
    "run",
]

_HOMES = {
    "adapters": ("adapt",),
    "api": ("Result", "evaluate"),
    "cases": ("Case", "ImageCases", "Suite"),
    "config": ("RunConfig",),
    "errors": ("DataError", "EquibenchError", "ModelError", "UsageError"),
    "guard": ("assert_shift_equivariant",),
    "metrics": ("Metric",),
    "registry": ("register_metric", "register_model", "register_report", "register_suite"),
    "runner": ("run",),
    "store": ("RunFolder",),
}


def __getattr__(name: str) -> object:
    # imported on first use: the command line's help must not wait for torch
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"equibench.{module}"), name)
    raise AttributeError(f"module 'equibench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
