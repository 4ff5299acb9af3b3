"""What trackers are told of a run, as flat names and numbers that all of them take."""

import re
from collections.abc import Mapping
from math import isfinite, nan
from typing import Any

from equibench.runs.trackers import TrackedRun, TrackedUnit

__all__ = ["conditions", "results", "unit_numbers"]

_VERSIONS = ("equibench", "torch", "numpy")


def conditions(run: TrackedRun) -> dict[str, str]:
    """What a run is asked to do, and by which versions of what."""
    manifest = run.folder.manifest
    said = {k: v for k, v in manifest["configuration"].items() if v not in (None, [], {}, False)}
    also = said.pop("also", [])
    for block in also:
        for field in ("models", "suites"):
            said[field] = [*said[field], *block[field]]
    shown = {name: _shown(value) for name, value in said.items()}
    found = manifest["environment"]
    versions = {f"version {name}": str(found["versions"].get(name)) for name in _VERSIONS}
    return shown | versions | {"commit": str(found["commit"])}


def unit_numbers(unit: TrackedUnit) -> dict[str, float]:
    """``MODEL/SUITE/eq_nmse_mean`` and the like of one unit, as far as they are numbers."""
    from equibench.statistics.summary import summarize

    if unit.rows.empty:
        return {}
    return _numbers(summarize(unit.rows).to_dict("records"), unit.rows.columns)


def results(run: TrackedRun) -> dict[str, float]:
    """The same of all that a run has measured."""
    if not run.folder.has_rows:
        return {}
    summary = run.folder.summary()
    names = [name.removesuffix("_mean") for name in summary.columns if name.endswith("_mean")]
    return _numbers(summary.to_dict("records"), names)


def _numbers(lines: Any, names: Any) -> dict[str, float]:
    from equibench.statistics.summary import columns

    kinds = columns(list(names))
    found = {}
    for line in lines:
        group = [] if line["group"] == "all" else [line["group"]]
        motion = [] if line["transform"] == "circular" else [line["transform"]]
        place = "/".join(_plain(each) for each in (line["model"], line["suite"], *group, *motion))
        for column in kinds:
            for statistic in ("mean", "worst"):
                value = line.get(f"{column.name}_{statistic}", nan)
                if isfinite(value):  # not every tracker takes others
                    found[f"{place}/{column.name}_{statistic}"] = float(value)
    return found


def _plain(label: str) -> str:
    """A label in the characters that every tracker takes."""
    return re.sub(r"[^\w.-]+", "_", label, flags=re.ASCII)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k}={v}" for k, v in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
