"""A suite's results with the paper's values beside them, ready for a template."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from equibench.reports.data import UNTRAINED, RunData
from equibench.reports.paper import OTHER_DATA, Published, caveat, paper_name, published
from equibench.reports.tables import METRICS_SHOWN, NONE, applies, measured, number, place
from equibench.summary import Column

__all__ = ["Block", "Cell", "Line", "Name", "Section", "sections"]

_QUALITY = ("psnr", "ssim")
"""Columns of rows that say how good the unshifted reconstruction is."""


@dataclass(frozen=True)
class Name:
    """What a column of a table is called; ``remark`` goes below."""

    text: str
    remark: str = ""
    paper: bool = False
    left: bool = False


@dataclass(frozen=True)
class Block:
    """Columns of a table that belong to one metric."""

    heading: str
    names: list[Name]


@dataclass(frozen=True)
class Cell:
    """Text of a table, and whether it is the paper's or the best of its column."""

    text: str
    paper: bool = False
    best: bool = False
    left: bool = False


@dataclass(frozen=True)
class Line:
    model: str
    cells: list[Cell]


@dataclass(frozen=True)
class Section:
    """One suite (and group).

    Args:
        columns: of rows that it shows.
        comparisons: cases × shifts.
        floor: the largest error that rounding alone makes, as tables show it.
        near_ties: the largest share of comparisons with a near-tie that a model has.
        source: where the paper's values come from, or empty.
        other_data, untrained: why they are not to be compared number by number.
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
    source: str
    other_data: bool
    untrained: bool


@dataclass(frozen=True)
class _Kind:
    """A column of a table: a statistic of a metric, or the paper's value of one."""

    column: Column
    statistic: str
    paper: str | None = None

    @property
    def key(self) -> str:
        return f"{self.column.name}_{self.statistic}"


def sections(data: RunData) -> list[Section]:
    """One for each suite and group, in the order of the run."""
    if data.summary.empty:
        return []
    parts = data.summary.groupby(["suite", "group"], sort=False)
    return [_section(data, str(suite), str(group), part) for (suite, group), part in parts]


def _section(data: RunData, suite: str, group: str, part: pd.DataFrame) -> Section:
    known = _published(data, suite, group, part)
    published_keys = {key: list(n) for each in known.values() for key, n in each.numbers.items()}
    extra = [key.rpartition("_")[0] for key in published_keys]
    shown = measured(part, list(dict.fromkeys([*METRICS_SHOWN, *extra])))
    quality = measured(part, _QUALITY)
    kinds = [kind for column in shown for kind in _kinds(column, published_keys, shown[0])]
    kinds += [_Kind(column, "mean") for column in quality]
    best = {kind: _best(part, kind) for kind in kinds}
    lines = [
        Line(
            model=str(record["model"]),
            cells=[_cell(record, kind, known.get(str(record["model"])), best) for kind in kinds],
        )
        for record in cast("list[Mapping[str, object]]", part.to_dict("records"))
    ]
    source = next((f"{each.tables}, {each.data}" for each in known.values()), "")
    reasons = [
        reason
        for model in known
        for reason in caveat(data.suite_names[suite], data.weights.get(model, "")).split(", ")
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
        blocks=_blocks(kinds, OTHER_DATA in reasons),
        lines=lines,
        source=source,
        other_data=OTHER_DATA in reasons,
        untrained=UNTRAINED in reasons,
    )


def _published(data: RunData, suite: str, group: str, part: pd.DataFrame) -> dict[str, Published]:
    """The paper's values by model, for those that the paper has."""
    described: Mapping[str, Mapping[str, object]] = data.manifest.get("models", {})
    found = {
        model: published(
            paper_name(model, described.get(model, {})), data.suite_names[suite], group
        )
        for model in map(str, part["model"])
    }
    return {model: each for model, each in found.items() if each}


def _kinds(
    column: Column, published_keys: Mapping[str, Sequence[str]], located: Column
) -> Iterable[_Kind]:
    for statistic in ("mean", "median", "worst") if column == located else ("mean", "worst"):
        kind = _Kind(column, statistic)
        yield kind
        for acquisition in published_keys.get(kind.key, ()):
            yield _Kind(column, statistic, acquisition)
    if column == located:
        yield _Kind(column, "worst at")


def _blocks(kinds: Sequence[_Kind], other_data: bool) -> list[Block]:
    blocks: dict[str, list[Name]] = {}
    for kind in kinds:
        column = kind.column
        heading = column.heading if column.shifted else "reconstruction, unshifted"
        if not column.shifted:
            name = Name(f"{column.heading} {kind.statistic}")
        elif kind.paper is None:
            name = Name(kind.statistic, left=kind.statistic == "worst at")
        else:
            name = Name(f"paper {kind.paper}".strip(), OTHER_DATA if other_data else "", paper=True)
        blocks.setdefault(heading, []).append(name)
    return [Block(heading, names) for heading, names in blocks.items()]


def _cell(
    line: Mapping[str, object],
    kind: _Kind,
    known: Published | None,
    best: Mapping[_Kind, float | None],
) -> Cell:
    if kind.paper is not None:
        value = known.numbers.get(kind.key, {}).get(kind.paper) if known else None
        return Cell("" if value is None else number(value, kind.column.format), paper=True)
    if not applies(line, kind.column):
        return Cell(NONE)
    if kind.statistic == "worst at":
        return Cell(place(line, kind.column).replace(", ", ",\N{NO-BREAK SPACE}"), left=True)
    measurement = float(cast("float", line[kind.key]))
    return Cell(number(measurement, kind.column.format), best=measurement == best[kind])


def _best(part: pd.DataFrame, kind: _Kind) -> float | None:
    """The best value of a column of measurements; None where all models share it."""
    if kind.paper is not None or kind.statistic == "worst at":
        return None
    values = part[kind.key].dropna()
    if values.nunique() < 2:
        return None
    return float(values.max() if kind.column.higher_is_better else values.min())
