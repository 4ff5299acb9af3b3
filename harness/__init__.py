"""equibench measures how far image-to-image networks are from shift equivariance.

>>> import equibench as eb
>>> result = eb.evaluate(model, "mri-sample", shifts="random:n=10,max=16")  # doctest: +SKIP
>>> result.summary  # doctest: +SKIP

Everything that users call stands here. The rooms below import one another in one direction only:
foundation, registry, state, cases and transforms and metrics, inference, measurement, evidence,
loading, statistics, evaluation, layers, runs, guard, mending, integrations, commands.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from equibench import _moved

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
    from equibench.evidence.proof import prove
    from equibench.guard.assertion import assert_shift_equivariant
    from equibench.inference.adapters import adapt
    from equibench.integrations.loss import shift_consistency_loss
    from equibench.integrations.training import shift_consistency
    from equibench.layers.attribution import attribute
    from equibench.layers.index_flips import trace_flips
    from equibench.layers.level_ablation import ablate_levels
    from equibench.loading.load import load_model
    from equibench.loading.suites import load_suite
    from equibench.loading.treatments import mend
    from equibench.measurement.run_config import RunConfig
    from equibench.metrics.metric import Metric
    from equibench.registry.listing import (
        list_metrics,
        list_models,
        list_reports,
        list_suites,
        list_trackers,
        list_transforms,
        list_treatments,
    )
    from equibench.registry.registries import (
        register_metric,
        register_model,
        register_report,
        register_suite,
        register_tracker,
        register_transform,
        register_treatment,
    )
    from equibench.runs.run_folder import RunFolder
    from equibench.runs.runner import run
    from equibench.runs.trackers import Tracker
    from equibench.transforms.transform import Transform

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
    "Tracker",
    "Transform",
    "UnavailableError",
    "UsageError",
    "ablate_levels",
    "adapt",
    "assert_shift_equivariant",
    "attribute",
    "evaluate",
    "list_metrics",
    "list_models",
    "list_reports",
    "list_suites",
    "list_trackers",
    "list_transforms",
    "list_treatments",
    "load_model",
    "load_suite",
    "mend",
    "prove",
    "register_metric",
    "register_model",
    "register_report",
    "register_suite",
    "register_tracker",
    "register_transform",
    "register_treatment",
    "run",
    "shift_consistency",
    "shift_consistency_loss",
    "trace_flips",
]

_HOMES = {
    "cases.suite": ("Case", "ImageCases", "Suite"),
    "errors": ("DataError", "EquibenchError", "ModelError", "UnavailableError", "UsageError"),
    "evaluation.evaluate": ("Result", "evaluate"),
    "evidence.proof": ("prove",),
    "guard.assertion": ("assert_shift_equivariant",),
    "inference.adapters": ("adapt",),
    "integrations.loss": ("shift_consistency_loss",),
    "integrations.training": ("shift_consistency",),
    "layers.attribution": ("attribute",),
    "layers.level_ablation": ("ablate_levels",),
    "layers.index_flips": ("trace_flips",),
    "loading.load": ("load_model",),
    "loading.suites": ("load_suite",),
    "loading.treatments": ("mend",),
    "measurement.run_config": ("RunConfig",),
    "metrics.metric": ("Metric",),
    "registry.listing": (
        "list_metrics",
        "list_models",
        "list_reports",
        "list_suites",
        "list_trackers",
        "list_transforms",
        "list_treatments",
    ),
    "registry.registries": (
        "register_metric",
        "register_model",
        "register_report",
        "register_suite",
        "register_tracker",
        "register_transform",
        "register_treatment",
    ),
    "runs.run_folder": ("RunFolder",),
    "runs.runner": ("run",),
    "runs.trackers": ("Tracker",),
    "transforms.transform": ("Transform",),
}

_moved.install()


def __getattr__(name: str) -> object:
    # imported on first use: the command line's help must not wait for torch
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"equibench.{module}"), name)
    raise AttributeError(f"module 'equibench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
