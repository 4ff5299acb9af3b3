"""All that a run's numbers depend on, so that a folder never holds two different runs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from equibench.cases.suite import Suite, suite_conditions
from equibench.errors import UsageError
from equibench.measurement.run_config import SPLITTING, RunConfig
from equibench.measurement.settings import Settings
from equibench.metrics.metric import Metric
from equibench.registry.provenance import source_sha256, version_of
from equibench.registry.registries import SUITES
from equibench.transforms.transform import CIRCULAR

__all__ = ["changes", "fingerprint", "refuse_changes"]

_OPEN = ("suites", "metric versions")
"""Where entries may be added: a suite whose data were missing at first, say."""


def fingerprint(
    config: RunConfig,
    settings: Settings,
    suites: Iterable[tuple[Suite, Sequence[str]]],
    metrics: Iterable[Metric],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """What must be equal for two runs to be the same, but for the models.

    Models are compared as they load, by the hashes of their tensors and sources.
    """
    return config.model_dump(mode="json", exclude={"data", *SPLITTING, *config.unsaid}) | {
        "plan": repr(settings.plan),
        **({"transforms": _transforms(settings, config.shifts)} if config.transforms else {}),
        "frame": settings.frame,
        "batch": settings.batch,
        "device": settings.device.type,
        "suites": {suite.label: _described(suite, cases) for suite, cases in suites},
        "metric versions": {metric.name: metric.version for metric in metrics},
        "commit": environment["commit"],
        "versions": {
            name: environment["versions"].get(name) for name in ("equibench", "torch", "numpy")
        },
    }


def _transforms(settings: Settings, shifts: str) -> dict[str, str]:
    """What images are put through, in full: the shifts of a file may change under its name."""
    return {
        each.label: repr(each)
        for each in settings.transforms
        if each.label != CIRCULAR or not shifts
    }


def refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any], out: Path) -> None:
    """A folder holds one run: an equal one resumes it, another needs another folder.

    Raises:
        UsageError: something changed; the message says what.
    """
    found = list(changes(old, new))
    if found:
        more = f" and {len(found) - 3} more changes" if len(found) > 3 else ""
        raise UsageError(
            f"{out} holds another run: {'; '.join(found[:3])}{more}; choose another --out, "
            "delete the folder to start anew, or repeat the command that made it to resume it",
            topic="another-run",
        )


def _described(suite: Suite, cases: Sequence[str]) -> dict[str, Any]:
    entry = next((e for e in SUITES.entries() if e.name == suite.name), None)
    modules = entry.info.modules if entry else ()
    return suite_conditions(suite, cases) | {
        "source": source_sha256(type(suite).__mro__)[:12],
        "libraries": {module: version_of(module) for module in modules},
    }


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    """What differs between two descriptions, a phrase for each leaf."""
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if prefix.strip() in _OPEN and (key not in old or key not in new):
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from changes(before, after, f"{prefix}{key} ")
        elif repr(before) != repr(after):
            yield f"{prefix}{key} was {_short(before)} and is {_short(after)}"


def _short(value: object) -> str:
    """A value as messages show it; of a hash, the beginning."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", repr(value))
