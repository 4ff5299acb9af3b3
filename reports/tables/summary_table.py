"""The summary of a run as a table: for a terminal, for a paper, for a spreadsheet."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import isinf, isnan
from typing import Any, Literal, TypeAlias, cast

import pandas as pd

from equibench.errors import UsageError
from equibench.evidence.words import EVIDENCE
from equibench.foundation.rounding import far_above
from equibench.reports.findings.run_data import UNTRAINED, shorten
from equibench.reports.tables.grid import Cell
from equibench.reports.tables.writers import Heading, Table, latex, markdown, terminal
from equibench.statistics.summary import Column, columns

__all__ = [
    "METRICS_SHOWN",
    "NONE",
    "STATISTICS",
    "Format",
    "applies",
    "as_table",
    "measured",
    "number",
    "place",
    "summary_table",
    "unrepeatable",
    "within",
]

Format: TypeAlias = Literal["markdown", "csv", "latex", "text"]

METRICS_SHOWN = ("eq_nmse", "eq_ssim", "delta_psnr")
"""Columns of rows that tables show unless others are asked for."""

NONE = "–"
"""Stands where a metric does not apply, such as ΔPSNR without a ground truth."""

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
    metrics: Sequence[str] = METRICS_SHOWN,
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
        metrics: columns of rows.
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


def measured(summary: pd.DataFrame, names: Sequence[str]) -> list[Column]:
    """The columns among ``names`` that a summary has values of, in the order of ``names``."""
    found = {c.name: c for c in columns(names) if f"{c.name}_worst_case" in summary}
    return [
        found[name]
        for name in names
        if name in found and summary[f"{name}_worst_case"].notna().any()
    ]


def applies(line: Mapping[str, object], column: Column) -> bool:
    """Whether a line of a summary has that metric at all; it may still be NaN."""
    return bool(pd.notna(cast("str", line.get(f"{column.name}_worst_case"))))


def number(value: float, spec: str) -> str:
    """A value as tables show it."""
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    return format(value, spec)


def within(line: Mapping[Any, Any], column: Column) -> str:
    """The interval of a mean, or that and why there is none; empty in summaries of old runs."""
    low = line.get(f"{column.name}_ci_low")
    if low is not None and pd.notna(low):
        high = float(line[f"{column.name}_ci_high"])
        return f"{number(float(low), column.format)} … {number(high, column.format)}"
    reason = line.get(f"{column.name}_ci_reason")
    return f"no interval: {reason}" if isinstance(reason, str) and reason else ""


def place(line: Mapping[str, object], column: Column, width: int = 0) -> str:
    """Where the worst of a metric occurs: ``case (dy, dx)``; a ``width`` cuts long cases.

    An error of exactly zero is the worst nowhere.
    """
    if line[f"{column.name}_worst"] == 0:
        return NONE
    case = str(line[f"{column.name}_worst_case"])
    shown = shorten(case, width) if width else case
    if not column.shifted:
        return shown
    dy, dx = (int(cast("float", line[f"{column.name}_worst_{axis}"])) for axis in ("dy", "dx"))
    return f"{shown} ({dy}, {dx})"


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
    place = summary.groupby(["suite", "group"], sort=False).ngroup()
    falling = [c for c in columns(_metrics(summary)) if c.higher_is_better and _of(by, c)]
    order = summary.assign(_place=place).sort_values(
        ["_place", by], ascending=[True, not falling], kind="stable"
    )
    return order.drop(columns="_place").reset_index(drop=True)


def _metrics(summary: pd.DataFrame) -> list[str]:
    return [c.removesuffix("_worst") for c in summary.columns if c.endswith("_worst")]


def _of(name: str, column: Column) -> bool:
    """Whether a column of a summary is a statistic of a metric that has its unit."""
    statistics = ("mean", "ci_low", "ci_high", "median", "q95", "worst")
    return name in [f"{column.name}_{statistic}" for statistic in statistics]


def as_table(
    summary: pd.DataFrame,
    weights: Mapping[str, str] | None = None,
    metrics: Sequence[str] = METRICS_SHOWN,
    statistics: Sequence[str] = (),
) -> Table:
    """A summary as a table for any writer; arguments as of ``summary_table``."""
    chosen = measured(summary, metrics)
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
    return Table(headings, lines, _notes(summary, weights or {}))


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
            cells.append(Cell(place(line, column, _CASE_WIDTH)))
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


def _notes(summary: pd.DataFrame, weights: Mapping[str, str]) -> list[str]:
    models = list(summary["model"].unique())
    untrained = [model for model in models if weights.get(model) == UNTRAINED]
    notes = []
    if untrained:
        who = "all networks" if len(untrained) == len(models) else ", ".join(untrained)
        notes.append(f"{UNTRAINED}: {who} (networks start from a fixed seed)")
    notes += _evidence(summary)
    notes += [_contradicted(line) for line in _where(summary, "contradicted")]
    notes += [_tied(line) for line in _where(summary, "tied")]
    notes += [_drowned(line) for line in _where(summary, "floor_nmse") if _is_drowned(line)]
    notes += [unrepeatable(line) for line in _where(summary, "repeatability")]
    if "padded" in summary and summary["padded"].any():
        who = ", ".join(summary.loc[summary["padded"], "model"].unique())
        notes.append(f"padded and cropped back, which changes equivariance: {who}")
    return notes


def _where(summary: pd.DataFrame, column: str) -> list[Mapping[Any, Any]]:
    """The lines in which a column has something to say."""
    lines = summary.to_dict("records")
    return [line for line in lines if line.get(column) and pd.notna(line[column])]


def _evidence(summary: pd.DataFrame) -> list[str]:
    """How the worst cases over all shifts are known, a line for each word."""
    words = summary["evidence"] if "evidence" in summary else pd.Series(dtype=object)
    notes = []
    for word in filter(None, EVIDENCE):
        part = summary[words == word] if len(words) else summary[:0]
        if not len(part):
            continue
        who = "" if len(part) == len(summary) else f" of {', '.join(part['model'].unique())}"
        share = ""
        if word == "sampled":
            share = f"; up to {part['could_deviate'].max():.1%} of the shifts could deviate (95 %)"
        notes.append(f"worst{who}: over all circular shifts, {word}{share}")
    return notes


def _tied(line: Mapping[Any, Any]) -> str:
    """What adaptive layers make of cases in which two components have nearly equal norms."""
    with_ties, without = (number(float(line[f"{n}_nmse"]), ".1e") for n in ("tied", "untied"))
    others = f", of the others {without}" if line["tied"] < 1 else ""
    return (
        f"near-ties: {line['model']} on {line['suite']}, {line['tied']:.0%} of the cases; their "
        f"mean NMSE is {with_ties}{others}"
    )


def _is_drowned(line: Mapping[Any, Any]) -> bool:
    return not line.get("repeatability") and far_above(
        str(line["precision"]), float(line["floor_nmse"])
    )


def _drowned(line: Mapping[Any, Any]) -> str:
    """A floor that is no rounding of an output of that size."""
    floor = number(float(line["floor_nmse"]), ".1e")
    return (
        f"floor: {line['model']} on {line['suite']}; the same image, unshifted, in another place "
        f"of a batch gives an output that differs by an NMSE of {floor}, far more than rounding "
        f"of an output of its size ({line['precision']}): smaller errors say nothing; try "
        "--precision fp64"
    )


def unrepeatable(line: Mapping[Any, Any]) -> str:
    """Why no shift of a model stands for another, nor for itself."""
    place = f"{line['model']} on {line['suite']}"
    if line["repeatability"] == "seeded":
        return f"seeded: {place} is random, and its generators begin anew for every image"
    differ = number(float(line["repeat_nmse"]), ".1e")
    return (
        f"{line['repeatability']}: {place}; the same image, unshifted, gives outputs that differ "
        f"by an NMSE of {differ}, and nothing is known of all shifts"
    )


def _contradicted(line: Mapping[Any, Any]) -> str:
    """Why the worst case over all shifts is not known for some cases."""
    tied = float(line["contradicted_near_ties"])
    why = f" (near-ties of adaptive layers in {tied:.0%} of their shifts)" if tied > 0 else ""
    deviation = number(float(line["spot_deviation"]), ".1e")
    cases = f"{line['contradicted']} of {line['cases']} cases"
    return (
        f"contradicted by spot checks: {line['model']} on {line['suite']}, {cases}, "
        f"where shifts of one class differ by up to {deviation}{why}; --exhaustive evaluates "
        "every shift of them"
    )
