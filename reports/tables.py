"""The summary of a run as a table: for a terminal, for a paper, for a spreadsheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isinf, isnan
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import pandas as pd

from equibench.errors import UsageError
from equibench.registry import register_report
from equibench.reports.data import UNTRAINED, RunData, shorten
from equibench.reports.markup import escape_latex, escape_markdown
from equibench.store import RunFolder
from equibench.summary import Column, columns

__all__ = [
    "METRICS_SHOWN",
    "NONE",
    "STATISTICS",
    "Format",
    "applies",
    "measured",
    "number",
    "place",
    "summary_table",
    "tables",
]

Format: TypeAlias = Literal["markdown", "csv", "latex"]

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


@register_report(
    "tables",
    summary="the summary as CSV, Markdown and LaTeX",
)
def tables(run: RunFolder, out: Path) -> list[Path]:
    """Write ``tables/summary.csv``, ``.md`` and ``.tex`` below ``out``."""
    data = RunData.read(run)
    folder = out / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    formats: dict[str, Format] = {"csv": "csv", "md": "markdown", "tex": "latex"}
    written = []
    for suffix, format in formats.items():
        file = folder / f"summary.{suffix}"
        text = summary_table(data.summary, format=format, weights=data.weights)
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return written


def summary_table(
    summary: pd.DataFrame,
    *,
    format: Format = "markdown",
    weights: Mapping[str, str] | None = None,
    metrics: Sequence[str] = METRICS_SHOWN,
    statistics: Sequence[str] = (),
) -> str:
    """A summary as text, suite by suite, one line for each model.

    Args:
        summary: one line for each model × suite × group.
        format: ``csv`` has every column of the summary, the others mean and worst of
            ``metrics`` and where the worst of the first of them occurs.
        weights: by model; a line under the table names the untrained.
        metrics: columns of rows.
        statistics: what is shown of each metric, and of the whole, instead (``STATISTICS``).

    Raises:
        UsageError: no such format or statistic.
    """
    if format not in ("markdown", "csv", "latex"):
        raise UsageError(f"no table format is called {format!r}: choose markdown, csv or latex")
    for name in statistics:
        if name not in STATISTICS:
            raise UsageError(f"no statistic is called {name!r}: choose {', '.join(STATISTICS)}")
    if summary.empty:
        return "" if format == "csv" else "No measurements.\n"
    if format == "csv":
        return summary.to_csv(index=False)
    table = _Table.of(summary, metrics, statistics)
    notes = _notes(summary, weights or {})
    return _markdown(table, notes) if format == "markdown" else _latex(table, notes)


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


@dataclass(frozen=True)
class _Table:
    """Text, not yet escaped for any format.

    Args:
        keys: headings of the columns that say what a line is about.
        blocks: of each metric its heading and those of its columns.
    """

    keys: list[str]
    blocks: list[tuple[str, list[str]]]
    lines: list[list[str]]

    @classmethod
    def of(
        cls, summary: pd.DataFrame, metrics: Sequence[str], statistics: Sequence[str]
    ) -> "_Table":
        chosen = measured(summary, metrics)
        grouped = bool((summary["group"] != "all").any())
        keys = ["suite", *(["group"] if grouped else []), "model"]
        of_metrics = [name for name in statistics if name not in _OF_ALL]
        shown: dict[Column, Sequence[str]] = dict.fromkeys(
            chosen, of_metrics if statistics else _SHORT
        )
        if chosen and not statistics:
            shown[chosen[0]] = _LONG
        blocks = [(c.heading, [STATISTICS[n] for n in shown[c]]) for c in chosen if shown[c]]
        of_all = [name for name in statistics if name in _OF_ALL]
        blocks += [("", [STATISTICS[name]]) for name in of_all]
        suites = {suite: i for i, suite in enumerate(summary["suite"].unique())}
        ordered = summary.sort_values("suite", key=lambda s: s.map(suites), kind="stable")
        lines = []
        for line in ordered.to_dict("records"):
            cells = [str(line[key]) for key in keys]
            for column in chosen:
                cells += _cells(cast("Mapping[str, object]", line), column, shown[column])
            cells += [_cell_of_all(line, name) for name in of_all]
            lines.append(cells)
        return cls(keys, blocks, lines)

    @property
    def left(self) -> list[bool]:
        """Which columns are text, aligned at the left."""
        return [True] * len(self.keys) + [name == "worst at" for _, b in self.blocks for name in b]


def _cells(line: Mapping[str, object], column: Column, statistics: Sequence[str]) -> list[str]:
    if not applies(line, column):
        return [NONE] * len(statistics)

    def value(statistic: str) -> str:
        shown = float(cast("float", line[f"{column.name}_{statistic}"]))
        return number(shown, column.format)

    cells = []
    for statistic in statistics:
        if statistic == "at":
            cells.append(place(line, column, _CASE_WIDTH))
        elif statistic == "ci":
            undefined = pd.isna(cast("float", line[f"{column.name}_ci_low"]))
            cells.append(NONE if undefined else f"{value('ci_low')} … {value('ci_high')}")
        else:
            cells.append(value(statistic))
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
    if "exact" in summary and summary["exact"].all():
        notes.append("worst: over all circular shifts")
    return notes


def _markdown(table: _Table, notes: Sequence[str]) -> str:
    from tabulate import tabulate

    headings = [
        *table.keys,
        *(
            f"{heading} {name}".strip() if i == 0 else name
            for heading, names in table.blocks
            for i, name in enumerate(names)
        ),
    ]
    text: str = tabulate(
        [[escape_markdown(cell) for cell in line] for line in table.lines],
        headers=headings,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left" if left else "right" for left in table.left],
    )
    return "\n".join([text, *(f"\n{escape_markdown(note)}" for note in notes)]) + "\n"


def _latex(table: _Table, notes: Sequence[str]) -> str:
    """Booktabs, with the metrics' headings above the statistics."""
    above, rules, at = [" & ".join([""] * len(table.keys))], [], len(table.keys)
    for heading, names in table.blocks:
        above.append(rf"\multicolumn{{{len(names)}}}{{c}}{{{escape_latex(heading)}}}")
        if heading:
            rules.append(rf"\cmidrule(lr){{{at + 1}-{at + len(names)}}}")
        at += len(names)
    below = [*table.keys, *(name for _, names in table.blocks for name in names)]
    lines = [" & ".join(map(escape_latex, line)) + r" \\" for line in table.lines]
    alignment = "".join("l" if left else "r" for left in table.left)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            " & ".join(above) + r" \\",
            *rules,
            " & ".join(below) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par{{\footnotesize {escape_latex(note)}}}" for note in notes),
            "",
        ]
    )
