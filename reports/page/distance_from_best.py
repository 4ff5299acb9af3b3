"""What charts draw: how far a metric is from its best value, so that less is always better."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import pandas as pd

from equibench.reports.figures.style import ZERO
from equibench.reports.tables.values import measured
from equibench.statistics.summary import Column, columns

__all__ = ["Distance", "distances"]

_ROUNDING = 1e-12
"""Of a difference of decibels or similarities: below it charts say 0."""


@dataclass(frozen=True)
class Distance:
    """The distance of an equivariance metric from its best value.

    Args:
        zero: below it is drawn as 0.
    """

    column: Column
    zero: float

    @property
    def key(self) -> str:
        return self.column.name

    @property
    def title(self) -> str:
        return self._distance(self.column.full_title)

    @property
    def short(self) -> str:
        """The title beside a control, or below a heading, that has it in full."""
        return self._distance(self.column.title)

    def _distance(self, title: str) -> str:
        return f"{self.column.best:g} − {title}" if self.column.higher_is_better else title

    @property
    def format(self) -> str:
        """Of a number that may be tiny."""
        return self.column.format if self.column.format[-1] in "eg" else ".1e"

    def of(self, values: Any) -> Any:
        """Values, or a value, of the metric as distances."""
        best = self.column.best
        return best - values if self.column.higher_is_better else values - best


def distances(summary: pd.DataFrame) -> list[Distance]:
    """Of the shifted metrics that a summary has values of; those without a best value left out."""
    found = measured(summary, [c.name for c in columns(list(_names(summary))) if c.shifted])
    return [
        Distance(column, ZERO if column.name == "eq_nmse" else _ROUNDING)
        for column in found
        if isfinite(column.best)
    ]


def _names(summary: pd.DataFrame) -> list[str]:
    return [name.removesuffix("_worst") for name in summary.columns if name.endswith("_worst")]
