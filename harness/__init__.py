"""equibench measures how far image-to-image networks are from shift equivariance.

>>> import equibench as eb
>>> result = eb.evaluate(model, "mri-sample", shifts="random:n=10,max=16")  # doctest: +SKIP
>>> result.summary  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equibench.cases.suite import Case, ImageCases, Suite
    from equibench.errors import (
        DataError,
        EquibenchError,
        ModelError,
        UnavailableError,
        UsageError,
    )
    from equibench.evaluation.evaluate import Result, evaluate
    from equibench.guard.assertion import assert_shift_equivariant
    from equibench.loading.adapters import adapt
    from equibench.measurement.run_config import RunConfig
    from equibench.metrics.image_metrics import Metric
    from equibench.registry.registries import (
        register_metric,
        register_model,
        register_report,
        register_suite,
    )
    from equibench.runs.run_folder import RunFolder
    from equibench.runs.runner import run

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
    "UnavailableError",
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
    "loading.adapters": ("adapt",),
    "evaluation.evaluate": ("Result", "evaluate"),
    "cases.suite": ("Case", "ImageCases", "Suite"),
    "measurement.run_config": ("RunConfig",),
    "errors": ("DataError", "EquibenchError", "ModelError", "UnavailableError", "UsageError"),
    "guard.assertion": ("assert_shift_equivariant",),
    "metrics.image_metrics": ("Metric",),
    "registry.registries": (
        "register_metric",
        "register_model",
        "register_report",
        "register_suite",
    ),
    "runs.runner": ("run",),
    "runs.run_folder": ("RunFolder",),
}


def __getattr__(name: str) -> object:
    # imported on first use: the command line's help must not wait for torch
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"equibench.{module}"), name)
    raise AttributeError(f"module 'equibench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
