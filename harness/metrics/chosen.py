"""Metrics by the names that users type, and by the columns that rows have of them."""

from collections.abc import Iterable

from equibench.metrics.metric import Metric
from equibench.registry.registries import METRICS

__all__ = ["metric_called", "metrics_of"]


def metric_called(name: str) -> Metric:
    """A registered metric, or a variant of one: ``dice-class-1``, ``boundary-dice-2px``.

    Raises:
        UsageError: nothing is called that; the closest names come first.
    """
    if name not in {entry.name for entry in METRICS.entries()}:
        for metric in _registered():
            if found := metric.variant(name):
                return found
    metric = METRICS.get(name).require()
    assert isinstance(metric, Metric)
    return metric


def metrics_of(columns: Iterable[str]) -> list[Metric]:
    """All registered metrics, each followed by those of its variants that columns are of."""
    names = {
        column.removeprefix("eq_").removeprefix("delta_").replace("_", "-") for column in columns
    }
    found = []
    for metric in _registered():
        variants = (metric.variant(name) for name in sorted(names - {metric.name}))
        found += [metric, *filter(None, variants)]
    return found


def _registered() -> list[Metric]:
    entries = [entry for entry in METRICS.entries() if entry.unavailable() is None]
    return [entry.object for entry in entries if isinstance(entry.object, Metric)]
