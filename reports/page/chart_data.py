"""What the page's charts draw, as JSON that a page can hold."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from equibench.reports.findings.leaderboard import network_names, subset_name
from equibench.reports.findings.power_of_two import by_power_of_two
from equibench.reports.findings.published_results import original
from equibench.reports.findings.run_data import RunData
from equibench.reports.findings.shift_maps import ShiftLattice
from equibench.reports.page.distance_from_best import Distance, distances
from equibench.reports.page.label_maps import label_facts
from equibench.reports.page.plain_words import outcome
from equibench.reports.tables.values import quality_shown
from equibench.transforms.transform import AXES, CIRCULAR, element_name

__all__ = ["embedded", "payload"]

_POINTS = 40_000
"""Over all models and suites; more are thinned, the worst of each metric kept."""

_DIGITS = 4
_TICKS = 5
"""Along a side of a map."""


def embedded(value: object) -> str:
    """JSON for a ``<script>`` element: nothing in it ends the element or starts a comment.

    NaN and infinities become the strings that JavaScript's ``Number`` takes for them.
    """
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def payload(runs: Mapping[str, RunData]) -> dict[str, Any]:
    """Metrics, and a series for each run × suite × group × model."""
    summaries = [data.summary for data in runs.values() if len(data.summary)]
    shown = distances(pd.concat(summaries)) if summaries else []
    budget = _POINTS // max(1, sum(map(len, summaries)))
    quality = quality_shown(pd.concat(summaries)) if summaries else []
    columns = dict.fromkeys(name for data in runs.values() for name in data.rows.columns)
    return {
        "runs": list(runs),
        "metrics": [
            {"key": d.key, "title": d.title, "short": d.short, "unit": d.column.unit,
             "format": d.format, "zero": d.zero}
            for d in shown
        ],
        "quality": [
            {"key": c.name, "title": c.full_title, "unit": c.unit, "format": c.format}
            for c in quality
        ],
        "labels": label_facts(list(columns)),
        "series": [
            series
            for run, data in runs.items()
            for series in _series(run, data, shown, [c.name for c in quality], budget)
        ],
    }  # fmt: skip


def _series(
    run: str, data: RunData, shown: Sequence[Distance], quality: Sequence[str], budget: int
) -> list[dict[str, Any]]:
    if data.summary.empty:
        return []
    names, described = network_names(data), data.manifest.get("models", {})
    found = []
    for suite in data.suites:
        of_suite = data.shifted[data.shifted["suite"] == suite]
        lines = data.summary[data.summary["suite"] == suite]
        metrics = [d for d in shown if f"{d.key}_mean" in lines]
        for group, rows in of_suite.groupby("group", sort=False):
            circular = bool((rows["transform"] == CIRCULAR).all())
            mapped = metrics if circular else []
            lattices = {d.key: ShiftLattice.of(rows, d.of(rows[d.key])) for d in mapped}
            octaves = by_power_of_two(rows, data.total_stride) if circular else None
            for line in lines[lines["group"] == group].to_dict("records"):
                model = str(line["model"])
                mine = rows[rows["model"] == model]
                has = [d for d in metrics if mine[d.key].notna().any() or d is shown[0]]
                trained = (described.get(model, {}).get("trained") or {}).get("suite", "")
                inside = original(str(trained)) == original(data.suite_names[suite])
                found.append(
                    {
                        "run": run,
                        "subset": subset_name(suite, str(group)),
                        "suite": suite,
                        "circular": circular,
                        "model": model,
                        "network": names[model],
                        "trained": str(trained),
                        "inside": inside if trained else None,
                        "evidence": str(line["evidence"]),
                        "outcome": asdict(outcome(line)),
                        "stats": {d.key: _stats(line, d) for d in has},
                        "quality": {n: line[f"{n}_mean"] for n in quality if f"{n}_mean" in line},
                        "points": _points(mine, has, budget),
                        "maps": {d.key: _map(lattices[d.key], model) for d in has if circular},
                        "octaves": {}
                        if octaves is None
                        else _octaves(octaves, model, data.total_stride),
                    }
                )
    return found


def _stats(line: Mapping[Any, Any], distance: Distance) -> dict[str, Any]:
    key = distance.key
    stats = {n: distance.of(line[f"{key}_{n}"]) for n in ("mean", "median", "worst")}
    ends = sorted(distance.of(line[f"{key}_ci_{end}"]) for end in ("low", "high"))
    reason = line.get(f"{key}_ci_reason")
    none = reason if isinstance(reason, str) else ""
    return stats | {
        "low": ends[0],
        "high": ends[1],
        "none": none,
        "case": line[f"{key}_worst_case"],
    }


def _points(rows: pd.DataFrame, shown: Sequence[Distance], budget: int) -> dict[str, Any]:
    """Single errors; beyond the budget every n-th by rank, and the worst of each metric."""
    total = len(rows)
    if total > budget:
        ranked = rows.sort_values("eq_nmse", kind="stable")
        chosen = set(np.linspace(0, total - 1, budget).round().astype(int))
        for distance in shown:
            values = distance.of(ranked[distance.key]).fillna(np.inf)
            chosen.add(int(values.to_numpy().argmax()))
        rows = ranked.iloc[sorted(chosen)]
    codes, cases = pd.factorize(rows["case"])
    return {
        "total": total,
        "cases": list(cases),
        "case": codes,
        **_places(rows),
        "values": {d.key: d.of(rows[d.key]) for d in shown},
    }


def _places(rows: pd.DataFrame) -> dict[str, Any]:
    """The shifts of rows, or what their elements are called."""
    if (rows["transform"] == CIRCULAR).all():
        own = [axis for axis in AXES if axis in rows and rows[axis].notna().any()]
        return {"shifts": [rows[axis] for axis in own]}
    return {"names": [element_name(row) for row in rows.to_dict("records")]}


def _map(lattice: ShiftLattice, model: str) -> dict[str, Any]:
    cells = lattice.cells[lattice.cells["model"] == model]
    codes, cases = pd.factorize(cells["case"])
    places = {"dys": lattice.dy, "dxs": lattice.dx}
    axes = {n: [v[0], v[-1]] for n, v in places.items()}
    columns = {name: cells[name] for name in ("dy", "dx", "mean", "worst")}
    return {
        "cell": lattice.cell,
        "axes": lattice.axes,
        "says": lattice.cell_says,
        "wide": lattice.thinned,
        "pooled": lattice.pooled,
        "ticks": {n: lattice.ticks(v, _TICKS) for n, v in places.items()},
        **axes,
        **columns,
        "case": codes,
        "cases": list(cases),
    }


def _octaves(found: pd.DataFrame, model: str, largest: int) -> dict[str, Any]:
    mine = found[found["model"] == model]
    axes = [axis for axis in AXES if (mine["axis"] == axis).any()]
    return {
        str(axis): {name: part[name] for name in ("power", "mean", "worst", "shifts")}
        | {"largest": largest, "axes": axes}
        for axis, part in mine.groupby("axis", sort=False)
    }


def _plain(value: Any) -> Any:
    """Python's own types; of columns, which only charts draw, four digits.

    What ranks networks stands alone, and is exact: the page ranks as the tables do.
    """
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, pd.Series | np.ndarray | list | tuple):
        return [_rounded(each) for each in map(_plain, value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if isfinite(value) else _NON_FINITE[str(value)]
    return value


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


_NON_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
