"""Suites from what users type, and the names of their cases."""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from itertools import islice
from typing import Any

from torch import Tensor

from equibench.cases.python_data import PythonData, is_data
from equibench.cases.suite import ImageCases, Suite
from equibench.errors import DataError, UsageError
from equibench.foundation.file_names import as_text
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.metrics.chosen import metric_called
from equibench.registry.registries import SUITES
from equibench.registry.specs import Spec

__all__ = ["build_suite", "case_names", "load_suite", "suite_of"]


def load_suite(spec: str, data: Mapping[str, str] | None = None) -> Suite:
    """The suite that a name, with arguments as on the command line, stands for.

    Args:
        spec: ``mri-sample`` or ``noise,n=2,size=64``.
        data: data roots by name of the suite; else ``EQUIBENCH_DATA`` says where data are.

    Raises:
        UsageError: an unknown name or argument, a missing extra or data root.
    """
    return build_suite(Spec.parse(spec), data or {})


def build_suite(spec: Spec, data: Mapping[str, str], metrics: Sequence[str] = ()) -> Suite:
    """The suite that a spec describes.

    Args:
        data: data roots by name of the suite.
        metrics: what it is measured with, unless the spec says; else the suite's own.

    Raises:
        UsageError: an unknown name or argument, a missing extra or data root.
    """
    if spec.adapters:
        raise UsageError(
            f"{', '.join(spec.adapters)} at suite {spec.reference!r}: adapters belong to models"
        )
    if spec.mend:
        raise UsageError(f"mend={spec.mend} at suite {spec.reference!r}: models are treated")
    entry = SUITES.get(spec.reference)
    arguments = dict(spec.arguments)
    if spec.reference in data:
        arguments["root"] = data[spec.reference]
    entry.check(arguments)
    with guarded(
        lambda error: f"suite {spec.reference!r} cannot be built: {kind_and_reason(error)}",
        UsageError,
    ):
        suite = entry.object(**arguments)
    if not isinstance(suite, Suite) or not isinstance(getattr(suite, "name", None), str):
        raise UsageError(
            f"{entry.origin} gave a {type(suite).__name__}, not an equibench Suite with a name"
        )
    suite.label = spec.chosen_label or suite.name
    if chosen := spec.metrics or metrics:
        suite.metrics = tuple(metric_called(name).name for name in chosen)
    return suite


def case_names(suite: Suite, limit: int | None = None) -> list[str]:
    """The names of a suite's cases, or of the first ``limit``.

    Raises:
        UsageError: there are none, two share a name, or a name is no UTF-8.
    """
    with guarded(
        lambda error: f"suite {suite.label!r} cannot list its cases: {kind_and_reason(error)}",
        DataError,
    ):
        names = list(islice(suite.cases(), limit))
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"suite {suite.label!r} lists cases that are no text: {names[0]!r}")
    for name in names:
        if as_text(name) != name:  # rows could not be stored
            raise UsageError(
                f"suite {suite.label!r} has a case {as_text(name)}, a name that is no UTF-8: "
                "give it another"
            )
    if not names:
        raise UsageError(f"suite {suite.label!r} has no cases")
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"suite {suite.label!r} has {count} cases called {name!r}")
    return names


def suite_of(
    data: Any,
    targets: Any = None,
    *,
    input_key: str | int | None = None,
    target_key: str | int | None = None,
    dims: int | None = None,
    metrics: Sequence[str] = (),
) -> Suite:
    """A suite, from its name, from a caller's data, or as it is; one without a label is copied.

    Args:
        data: a name with arguments, an equibench suite, or images as ``PythonData`` takes them.
        targets: ground truths of images, in the same form.
        input_key, target_key: where an item of the data has image and ground truth.
        dims: axes in space of items in a list or a data set.
        metrics: what it is measured with, instead of its own.

    Raises:
        UsageError: it is none of these, or a suite that brings its own ground truths is given some.
    """
    keys: dict[str, Any] = {"input_key": input_key, "target_key": target_key, "dims": dims}
    suite: Suite
    images = isinstance(data, Tensor) and data.is_floating_point() and dims is None
    if images and (targets is None or isinstance(targets, Tensor)):
        suite = ImageCases(data, targets)
    elif is_data(data):
        suite = PythonData(data, targets, **keys)
    else:
        given = {"targets": targets, **keys}
        for name, value in given.items():
            if value is not None:
                raise UsageError(f"{name} is for images: a suite brings its own ground truths")
        if isinstance(data, str):
            suite = build_suite(Spec.parse(data), {})
        elif isinstance(data, Suite):
            suite = data
        else:
            raise UsageError(
                f"{type(data).__name__} is no suite: give a name, an equibench Suite, or images: "
                "a tensor or array (B, C, H, W), a list, a Dataset or a DataLoader"
            )
    if not suite.label or metrics:
        suite = copy(suite)  # the caller's own stays as it is
        suite.label = suite.label or suite.name
        suite.metrics = tuple(metric_called(name).name for name in metrics) or suite.metrics
    return suite
