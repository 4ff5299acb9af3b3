"""The summary of one or several runs as one table of the page, every column to be sorted by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import pandas as pd

from equibench.reports.findings.leaderboard import network_names, subset_name
from equibench.reports.findings.run_data import RunData
from equibench.reports.tables.grid import Block, Cell, Name
from equibench.reports.tables.values import (
    NONE,
    applies,
    measured,
    number,
    quality_shown,
    shown_by_default,
    within,
    worst_at,
)
from equibench.statistics.summary import Column

__all__ = ["Entry", "Sheet", "sheet"]


@dataclass(frozen=True)
class Entry:
    """A line: one model of one run on one suite (and group)."""

    run: str
    subset: str
    model: str
    network: str
    cells: list[Cell]


@dataclass(frozen=True)
class Sheet:
    blocks: list[Block]
    entries: list[Entry]


@dataclass(frozen=True)
class _Kind:
    """A statistic of a metric."""

    column: Column
    statistic: str

    @property
    def key(self) -> str:
        return f"{self.column.name}_{self.statistic}"

    def cell(self, line: Mapping[Any, Any], best: float | None) -> Cell:
        if not applies(line, self.column):
            return Cell(NONE)
        if self.statistic == "worst at":
            at = worst_at(line, self.column).replace(", ", ",\N{NO-BREAK SPACE}")
            return Cell(at, left=True)
        value, spec = float(line[self.key]), self.column.format
        note = within(line, self.column) if self.statistic == "mean" else ""
        return Cell(number(value, spec), best=value == best, note=note, value=value)


def sheet(runs: Mapping[str, RunData]) -> Sheet:
    """One line for each run × suite × group × model, in their order."""
    parts = [data.summary.assign(run=run) for run, data in runs.items() if len(data.summary)]
    if not parts:
        return Sheet([], [])
    summary = pd.concat(parts, ignore_index=True)
    shown, quality = measured(summary, shown_by_default(summary)), quality_shown(summary)
    kinds = [kind for column in shown for kind in _kinds(column, shown[0])]
    kinds += [_Kind(column, "mean") for column in quality]
    probes = {run: data.manifest.get("probes", {}) for run, data in runs.items()}
    called = {run: network_names(data) for run, data in runs.items()}
    covering = any(data.covering for data in runs.values())
    blocks = _blocks(kinds)
    blocks.append(Block("", [Name("floor")]))
    if covering:
        names = ("evidence", "classes", "covers", "spot check")
        blocks.append(Block("every circular shift", [Name(name) for name in names]))
    entries = []
    for _, part in summary.groupby(["suite", "group"], sort=False):
        best = {kind: _best(part, kind) for kind in kinds}
        for line in part.to_dict("records"):
            run, suite, model = (str(line[key]) for key in ("run", "suite", "model"))
            cells = _said_once([kind.cell(line, best[kind]) for kind in kinds])
            floor = float(line["floor_nmse"])
            cells.append(Cell(number(floor, ".1e"), value=floor))
            if covering:
                cells += _covered(line, probes[run].get(model, {}).get(suite))
            subset = subset_name(suite, str(line["group"]))
            entries.append(Entry(run, subset, model, called[run][model], cells))
    return Sheet(blocks, entries)


def _said_once(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of a line without the notes that stand in one before: why there is no interval."""
    notes: set[str] = set()
    found = []
    for cell in cells:
        found.append(replace(cell, note="" if cell.note in notes else cell.note))
        notes.add(cell.note)
    return found


def _kinds(column: Column, located: Column) -> Iterable[_Kind]:
    everything = ("mean", "median", "worst", "worst at")
    statistics = everything if column == located else ("mean", "worst")
    return [_Kind(column, statistic) for statistic in statistics]


def _blocks(kinds: Sequence[_Kind]) -> list[Block]:
    blocks: dict[str, list[Name]] = {}
    for kind in kinds:
        column = kind.column
        heading = column.heading if column.shifted else "with the truth, unshifted"
        if column.shifted:
            name = Name(kind.statistic, left=kind.statistic == "worst at")
        else:
            name = Name(column.short_heading)
        blocks.setdefault(heading, []).append(name)
    return [Block(heading, names) for heading, names in blocks.items()]


def _known(line: Mapping[Any, Any]) -> Cell:
    """How the worst case over all shifts is known, or why it is not."""
    word, share = str(line["evidence"]), float(line["could_deviate"])
    if word == "sampled":
        return Cell(f"sampled; up to {share:.1%} could deviate", left=True)
    return Cell(word or line["repeatability"] or NONE, left=True)


def _covered(line: Mapping[Any, Any], probe: Mapping[str, Any] | None) -> list[Cell]:
    """How the worst case over all circular shifts is known, and what says so."""
    if probe is None:
        return [
            _known(line),
            Cell(NONE),
            Cell(f"{line['shifts']:,}", value=line["shifts"]),
            Cell(NONE),
        ]
    classes = probe["classes"]
    deviation, covered = float(line["spot_deviation"]), int(line["shifts"])
    by_class = line["evaluated"] < covered
    return [
        _known(line),
        Cell(" × ".join(map(str, classes)), value=prod(classes)) if by_class else Cell(NONE),
        Cell(f"{covered:,}", value=covered),
        Cell(number(deviation, ".1e"), value=deviation) if by_class else Cell(NONE),
    ]


def _best(part: pd.DataFrame, kind: _Kind) -> float | None:
    """The best value of a column of measurements; None where all models share it."""
    if kind.statistic == "worst at" or kind.key not in part:
        return None
    values = part[kind.key].dropna()
    if values.nunique() < 2:
        return None
    return float(values.max() if kind.column.higher_is_better else values.min())
