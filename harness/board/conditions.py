"""All that the numbers of a board depend on, beside the networks: what entries are held to."""

from collections.abc import Iterator, Mapping
from typing import Any

from equibench.loading.suites import build_suite, case_names
from equibench.measurement.row_table import suite_metrics
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.registry.provenance import environment
from equibench.registry.specs import Spec
from equibench.runs.fingerprint import changes, fingerprint

__all__ = ["differences", "expected", "unlike"]

_OWN = ("models", "also", "commit", "device", "batch", "merged")
"""Of a fingerprint: what entries may differ in."""


def expected(config: RunConfig) -> dict[str, Any]:
    """The fingerprint of a run with this configuration, here and now.

    Raises:
        UsageError: an unknown suite, or one whose data are not here.
    """
    settings = Settings.of(config)
    suites = []
    for text in config.suites:
        suite = build_suite(Spec.parse(text), config.data, config.metrics)
        suites.append((suite, case_names(suite, config.limit)))
    metrics = {m.name: m for suite, _ in suites for m in suite_metrics(suite)}
    return fingerprint(config, settings, suites, metrics.values(), environment(settings.device))


def unlike(conditions: Mapping[str, Any], config: RunConfig) -> list[str]:
    """In what an entry's conditions differ from what a board asks; its suites are not built."""
    now = fingerprint(
        config, Settings.of(config, remote=True), (), (), {"commit": None, "versions": {}}
    )
    kept = {k: v for k, v in conditions.items() if k in now}
    free = {k: conditions.get(k) for k in ("suites", "metric versions", "versions")}
    return list(differences(kept, now | free))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """In what conditions differ that the numbers depend on, a phrase for each."""
    old, new = ({k: v for k, v in each.items() if k not in _OWN} for each in (before, now))
    yield from changes(old, new)
