"""Values of a summary as tables show them."""

from collections.abc import Mapping, Sequence
from math import isinf, isnan
from typing import Any, cast

import pandas as pd

from equibench.reports.findings.run_data import shorten
from equibench.statistics.summary import Column, columns
from equibench.transforms.transform import element_name

__all__ = [
    "METRICS_SHOWN",
    "NONE",
    "applies",
    "measured",
    "number",
    "of_labels",
    "quality_shown",
    "shown_by_default",
    "within",
    "worst_at",
]

METRICS_SHOWN = ("eq_nmse", "eq_ssim", "delta_psnr")
"""Columns of rows that tables of images show unless others are asked for."""

QUALITY_SHOWN = ("psnr", "ssim")
"""Columns of rows that say how good the unshifted reconstruction is."""

NONE = "–"
"""Stands where a metric does not apply, such as ΔPSNR without a ground truth."""


def measured(summary: pd.DataFrame, names: Sequence[str]) -> list[Column]:
    """The columns among ``names`` that a summary has values of, in the order of ``names``."""
    found = {c.name: c for c in columns(names) if f"{c.name}_worst_case" in summary}
    return [
        found[name]
        for name in names
        if name in found and summary[f"{name}_worst_case"].notna().any()
    ]


def shown_by_default(summary: pd.DataFrame) -> list[str]:
    """The columns of rows that are shown of a summary unless others are asked for.

    Where nothing but labels is compared, the NMSE of class maps says nothing that the agreement of
    pixels does not.
    """
    names = [name.removesuffix("_worst") for name in summary.columns if name.endswith("_worst")]
    of_labels = [c.name for c in columns(names) if c.labels and c.shifted]
    of_images = [c.name for c in measured(summary, names) if not c.labels and c.name != "eq_nmse"]
    return [*(METRICS_SHOWN if of_images or not of_labels else ()), *of_labels]


def quality_shown(summary: pd.DataFrame) -> list[Column]:
    """The columns of a summary that say how good unshifted outputs are."""
    names = [name.removesuffix("_worst") for name in summary.columns if name.endswith("_worst")]
    of_labels = [c.name for c in columns(names) if c.labels and not c.shifted]
    return measured(summary, [*QUALITY_SHOWN, *of_labels])


def of_labels(line: Mapping[Any, Any]) -> bool:
    """Whether a line of a summary is of a model that labels pixels."""
    names = [str(name).removesuffix("_worst") for name in line if str(name).endswith("_worst")]
    return any(column.labels and applies(line, column) for column in columns(names))


def applies(line: Mapping[str, object], column: Column) -> bool:
    """Whether a line of a summary has that metric at all; it may still be NaN."""
    return bool(pd.notna(cast("str", line.get(f"{column.name}_worst_case"))))


def number(value: float, spec: str) -> str:
    """A value as tables show it; all its significant digits, a zero at the end among them."""
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    return format(value, f"#{spec}").rstrip(".") if spec.endswith("g") else format(value, spec)


def within(line: Mapping[Any, Any], column: Column) -> str:
    """The interval of a mean, or that and why there is none; empty in summaries of old runs."""
    low = line.get(f"{column.name}_ci_low")
    if low is not None and pd.notna(low):
        high = float(line[f"{column.name}_ci_high"])
        return f"{number(float(low), column.format)} … {number(high, column.format)}"
    reason = line.get(f"{column.name}_ci_reason")
    return f"no interval: {reason}" if isinstance(reason, str) and reason else ""


def worst_at(line: Mapping[str, object], column: Column, width: int = 0) -> str:
    """Where the worst of a metric occurs: ``case (dy, dx)``; a ``width`` cuts long cases.

    What nothing is better than is the worst nowhere.
    """
    if line[f"{column.name}_worst"] == column.best:
        return NONE
    case = str(line[f"{column.name}_worst_case"])
    shown = shorten(case, width) if width else case
    if not column.shifted:
        return shown
    return f"{shown} {element_name(line, f'{column.name}_worst_')}"
