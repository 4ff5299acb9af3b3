"""The summary of a run as a table: for a terminal, for a paper, for a spreadsheet."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, cast

import pandas as pd

from equibench.errors import UsageError
from equibench.reports.tables.grid import Cell
from equibench.reports.tables.notes import notes_of
from equibench.reports.tables.values import (
    METRICS_SHOWN,
    NONE,
    applies,
    measured,
    number,
    shown_by_default,
    within,
    worst_at,
)
from equibench.reports.tables.writers import Heading, Table, latex, markdown, terminal
from equibench.statistics.summary import Column, columns, kept_apart

__all__ = ["STATISTICS", "Format", "as_table", "summary_table"]

Format: TypeAlias = Literal["markdown", "csv", "latex", "text"]

STATISTICS = {
    "mean": "mean",
    "ci": "95 % interval",
    "median": "median",
    "q95": "95 % quantile",
    "worst": "worst",
    "at": "worst at",
    "flips": "flips",
    "flips-error": "of the mean",
    "floor": "floor",
    "shifts": "shifts",
}
"""What tables can show, and how it is headed; of the flips, the share of shifts and of the NMSE."""

_OF_ALL = {
    "flips": ("flips", ".2%"),
    "flips-error": ("flips_error", ".2%"),
    "floor": ("floor_nmse", ".1e"),
    "shifts": ("shifts", ".0f"),
}
_LONG, _SHORT = ("mean", "median", "worst", "at"), ("mean", "worst")
_CASE_WIDTH = 22


def summary_table(
    summary: pd.DataFrame,
    *,
    format: Format = "markdown",
    weights: Mapping[str, str] | None = None,
    metrics: Sequence[str] = (),
    statistics: Sequence[str] = (),
    sort: str | None = None,
    width: int = 120,
    colour: bool = False,
) -> str:
    """A summary as text, suite by suite, one line for each model.

    Args:
        summary: one line for each model × suite × group.
        format: ``csv`` has every column of the summary, the others mean and worst of
            ``metrics`` and where the worst of the first of them occurs.
        weights: by model; a line under the table names the untrained.
        metrics: columns of rows; else ``shown_by_default``.
        statistics: what is shown of each metric, and of the whole, instead (``STATISTICS``).
        sort: a column of the summary that orders the models of each suite, the best first.
        width, colour: of ``text``, in characters, and whether it has ANSI colours.

    Raises:
        UsageError: no such format, metric, statistic or column.
    """
    if format not in ("markdown", "csv", "latex", "text"):
        raise UsageError(
            f"no table format is called {format!r}: choose markdown, csv, latex or text"
        )
    for name in statistics:
        if name not in STATISTICS:
            raise UsageError(f"no statistic is called {name!r}: choose {', '.join(STATISTICS)}")
    if summary.empty:
        return "" if format == "csv" else "No measurements.\n"
    _check_metrics(summary, metrics)
    if sort:
        summary = _sorted(summary, sort)
    if format == "csv":
        return summary.to_csv(index=False)
    table = as_table(summary, weights, metrics, statistics)
    if format == "text":
        return terminal(table, width, colour)
    return markdown(table) if format == "markdown" else latex(table)


def _check_metrics(summary: pd.DataFrame, metrics: Sequence[str]) -> None:
    """Refuse what no summary has; the metrics shown by default may be missing."""
    known = _metrics(summary)
    for name in metrics:
        if name not in (*known, *METRICS_SHOWN):
            raise UsageError(f"this run has no metric {name!r}: choose {', '.join(known)}")


def _sorted(summary: pd.DataFrame, by: str) -> pd.DataFrame:
    """The models of each suite (and group) ordered by a column, the best first and NaN last."""
    if by not in summary:
        close = get_close_matches(by, summary.columns, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "model or eq_nmse_mean, say"
        raise UsageError(f"cannot sort by {by!r}: the summary has no such column; {hint}")
    keys = [key for key in ("suite", "group", "transform") if key in summary]
    subset = summary.groupby(keys, sort=False).ngroup()
    falling = [c for c in columns(_metrics(summary)) if c.higher_is_better and _of(by, c)]
    order = summary.assign(_subset=subset).sort_values(
        ["_subset", by], ascending=[True, not falling], kind="stable"
    )
    return order.drop(columns="_subset").reset_index(drop=True)


def _metrics(summary: pd.DataFrame) -> list[str]:
    return [c.removesuffix("_worst") for c in summary.columns if c.endswith("_worst")]


def _of(name: str, column: Column) -> bool:
    """Whether a column of a summary is a statistic of a metric that has its unit."""
    statistics = ("mean", "ci_low", "ci_high", "median", "q95", "worst")
    return name in [f"{column.name}_{statistic}" for statistic in statistics]


def as_table(
    summary: pd.DataFrame,
    weights: Mapping[str, str] | None = None,
    metrics: Sequence[str] = (),
    statistics: Sequence[str] = (),
) -> Table:
    """A summary as a table for any writer; arguments as of ``summary_table``."""
    summary = kept_apart(summary)
    chosen = measured(summary, metrics or shown_by_default(summary))
    grouped = bool((summary["group"] != "all").any())
    keys = ["suite", *(["group"] if grouped else []), "model"]
    of_metrics = [name for name in statistics if name not in _OF_ALL]
    shown: dict[Column, Sequence[str]] = dict.fromkeys(chosen, of_metrics if statistics else _SHORT)
    if chosen and not statistics:
        shown[chosen[0]] = _LONG
    of_all = [name for name in statistics if name in _OF_ALL]
    headings = [Heading(key, left=True, key=True) for key in keys]
    headings += [
        Heading(STATISTICS[name], column.heading, left=name == "at")
        for column in chosen
        for name in shown[column]
    ]
    headings += [Heading(STATISTICS[name]) for name in of_all]
    suites = {suite: i for i, suite in enumerate(summary["suite"].unique())}
    ordered = summary.sort_values("suite", key=lambda s: s.map(suites), kind="stable")
    best = _best(ordered, chosen)
    lines = []
    for line in cast("list[Mapping[str, object]]", ordered.to_dict("records")):
        cells = [Cell(str(line[key])) for key in keys]
        for column in chosen:
            cells += _cells(line, column, shown[column], best)
        cells += [Cell(_cell_of_all(line, name)) for name in of_all]
        lines.append(cells)
    return Table(headings, lines, notes_of(summary, weights or {}))


_Best: TypeAlias = Mapping[tuple[object, object, str], float]


def _best(summary: pd.DataFrame, chosen: Sequence[Column]) -> _Best:
    """By suite, group and column of numbers, the best of several models that differ."""
    found: dict[tuple[object, object, str], float] = {}
    for (suite, group), part in summary.groupby(["suite", "group"], sort=False):
        for column in chosen:
            for name in (f"{column.name}_{s}" for s in ("mean", "median", "q95", "worst")):
                values = part[name].dropna()
                if len(values) and values.min() < values.max():
                    best = values.max() if column.higher_is_better else values.min()
                    found[suite, group, name] = float(best)
    return found


def _cells(
    line: Mapping[str, object], column: Column, statistics: Sequence[str], best: _Best
) -> list[Cell]:
    if not applies(line, column):
        return [Cell(NONE)] * len(statistics)

    def value(statistic: str) -> str:
        shown = float(cast("float", line[f"{column.name}_{statistic}"]))
        return number(shown, column.format)

    cells = []
    for statistic in statistics:
        if statistic == "at":
            cells.append(Cell(worst_at(line, column, _CASE_WIDTH)))
        elif statistic == "ci":
            cells.append(Cell(within(line, column) or NONE))
        else:
            name = f"{column.name}_{statistic}"
            top = best.get((line["suite"], line["group"], name))
            cells.append(Cell(value(statistic), best=line[name] == top))
    return cells


def _cell_of_all(line: Mapping[Any, Any], name: str) -> str:
    """What a line says of all metrics together."""
    value = line[_OF_ALL[name][0]]
    return NONE if pd.isna(value) else number(float(value), _OF_ALL[name][1])
