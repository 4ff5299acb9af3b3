"""A suite's results, ready for a template."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from equibench.reports.data import RunData
from equibench.reports.grid import Block, Cell, Line, Name
from equibench.reports.tables import METRICS_SHOWN, NONE, applies, measured, number, place
from equibench.summary import Column

__all__ = ["Section", "sections"]

_QUALITY = ("psnr", "ssim")
"""Columns of rows that say how good the unshifted reconstruction is."""


@dataclass(frozen=True)
class Section:
    """One suite (and group).

    Args:
        columns: of rows that it shows.
        comparisons: cases × shifts.
        floor: the largest error that rounding alone makes, as tables show it.
        near_ties: the largest share of comparisons with a near-tie that a model has.
    """

    suite: str
    group: str
    cases: int
    comparisons: int
    frame: str
    exact: bool
    floor: str
    near_ties: float
    columns: list[Column]
    blocks: list[Block]
    lines: list[Line]


@dataclass(frozen=True)
class _Kind:
    """A column of a table: a statistic of a metric."""

    column: Column
    statistic: str

    @property
    def key(self) -> str:
        return f"{self.column.name}_{self.statistic}"


def sections(data: RunData) -> list[Section]:
    """One for each suite and group, in the order of the run."""
    if data.summary.empty:
        return []
    parts = data.summary.groupby(["suite", "group"], sort=False)
    return [_section(str(suite), str(group), part) for (suite, group), part in parts]


def _section(suite: str, group: str, part: pd.DataFrame) -> Section:
    shown, quality = measured(part, METRICS_SHOWN), measured(part, _QUALITY)
    kinds = [kind for column in shown for kind in _kinds(column, shown[0])]
    kinds += [_Kind(column, "mean") for column in quality]
    best = {kind: _best(part, kind) for kind in kinds}
    lines = [
        Line(model=str(record["model"]), cells=[_cell(record, kind, best) for kind in kinds])
        for record in cast("list[Mapping[str, object]]", part.to_dict("records"))
    ]
    return Section(
        suite=suite,
        group="" if group == "all" else group,
        cases=int(part["cases"].max()),
        comparisons=int(part["shifts"].max()),
        frame=str(part["frame"].iloc[0]),
        exact=bool(part["exact"].all()),
        floor=number(float(part["floor_nmse"].max()), shown[0].format) if shown else "",
        near_ties=float(part["near_ties"].fillna(0).max()),
        columns=[*shown, *quality],
        blocks=_blocks(kinds),
        lines=lines,
    )


def _kinds(column: Column, located: Column) -> Iterable[_Kind]:
    everything = ("mean", "median", "worst", "worst at")
    statistics = everything if column == located else ("mean", "worst")
    return [_Kind(column, statistic) for statistic in statistics]


def _blocks(kinds: Sequence[_Kind]) -> list[Block]:
    blocks: dict[str, list[Name]] = {}
    for kind in kinds:
        column = kind.column
        heading = column.heading if column.shifted else "reconstruction, unshifted"
        if column.shifted:
            name = Name(kind.statistic, left=kind.statistic == "worst at")
        else:
            name = Name(f"{column.heading} {kind.statistic}")
        blocks.setdefault(heading, []).append(name)
    return [Block(heading, names) for heading, names in blocks.items()]


def _cell(line: Mapping[str, object], kind: _Kind, best: Mapping[_Kind, float | None]) -> Cell:
    if not applies(line, kind.column):
        return Cell(NONE)
    if kind.statistic == "worst at":
        return Cell(place(line, kind.column).replace(", ", ",\N{NO-BREAK SPACE}"), left=True)
    measurement = float(cast("float", line[kind.key]))
    return Cell(number(measurement, kind.column.format), best=measurement == best[kind])


def _best(part: pd.DataFrame, kind: _Kind) -> float | None:
    """The best value of a column of measurements; None where all models share it."""
    if kind.statistic == "worst at":
        return None
    values = part[kind.key].dropna()
    if values.nunique() < 2:
        return None
    return float(values.max() if kind.column.higher_is_better else values.min())
