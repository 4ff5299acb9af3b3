"""From rows to one line for each model, suite and group."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from equibench.metrics import Metric
from equibench.registry import METRICS
from equibench.seeds import generator

__all__ = ["Column", "columns", "non_finite", "summarize", "worst_at"]

_RESAMPLES = 1000
KEYS = ["model", "suite", "group"]
"""What a line of a summary is about."""


@dataclass(frozen=True)
class Column:
    """A column of rows that a summary is made of.

    Args:
        name: in rows and summaries.
        title: as tables show it.
        higher_is_better: decides which row is the worst.
        shifted: over shifts; otherwise over cases, unshifted.
        best: the value that nothing is better than; infinite where there is none.
        version: of the metric's definition.
    """

    name: str
    title: str
    unit: str
    format: str
    higher_is_better: bool
    shifted: bool
    best: float
    version: int

    @property
    def heading(self) -> str:
        """Title, unit and direction."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.title}{unit} {'↑' if self.higher_is_better else '↓'}"


def columns(names: Sequence[str]) -> list[Column]:
    """The metric columns among some column names, equivariance first."""
    metrics: list[Metric] = [e.object for e in METRICS.entries() if e.unavailable() is None]
    equivariance, changes, quality = [], [], []
    for m in metrics:
        up, best = m.higher_is_better, m.bounds[1 if m.higher_is_better else 0]
        shown = m.title, m.unit, m.format, up
        equivariance.append(Column(f"eq_{m.column}", *shown, True, best, m.version))
        quality.append(Column(m.column, *shown, False, best, m.version))
        if m.delta_format:
            shown = f"Δ{m.title}", m.unit, m.delta_format, False
            changes.append(Column(f"delta_{m.column}", *shown, True, 0.0, m.version))
    return [c for c in [*equivariance, *changes, *quality] if c.name in names]


def summarize(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each model × suite × group.

    Equivariance columns have mean, 95 % confidence interval of the mean (percentile bootstrap
    over cases), median, worst, and the case and shift of the worst; quality columns have mean
    and worst over cases. NaN is worse than any number. Columns that are empty for a suite stay
    empty. A row counts for as many shifts as it covers; ``exact`` says whether they are all the
    circular shifts there are.
    """
    kinds = columns(list(rows.columns))
    lines = []
    for key, part in rows.groupby(KEYS, sort=False):
        unshifted, shifted = part[part["draw"] == 0], part[part["draw"] > 0]
        line: dict[str, object] = dict(zip(KEYS, key, strict=True))
        line |= {
            "cases": len(unshifted),
            "shifts": int(shifted["covers"].sum()),
            "evaluated": len(shifted),
            "frame": part["frame"].iloc[0],
            "precision": part["precision"].iloc[0],
            "exact": bool(shifted["exact"].all()),
            "spot_deviation": float(shifted["spot_deviation"].max()),
        }
        for kind in kinds:
            over = shifted if kind.shifted else unshifted
            # a model that returns nothing but NaN still has an error
            if kind.name == "eq_nmse" or over[kind.name].notna().any():
                line |= _statistics(over, kind)
        counted = shifted["near_ties"].dropna()
        line["near_ties"] = float((counted > 0).mean()) if len(counted) else np.nan
        line["floor_nmse"] = float(unshifted["floor_nmse"].max())
        lines.append(line)
    return pd.DataFrame(lines)


def worst_at(values: NDArray[np.float64], kind: Column) -> int:
    """The position of the worst value; NaN is worse than any number."""
    undefined = np.isnan(values)
    if undefined.any():
        return int(undefined.argmax())
    return int(values.argmin() if kind.higher_is_better else values.argmax())


def _statistics(part: pd.DataFrame, kind: Column) -> dict[str, object]:
    values = part[kind.name].to_numpy(dtype=np.float64)
    covers = part["covers"].to_numpy(dtype=np.int64)
    covers = covers // np.gcd.reduce(covers)
    worst = worst_at(values, kind)
    row = part.iloc[worst]
    low, high = _interval(part, kind)
    found: dict[str, object] = {
        "mean": _mean(values, covers),
        "ci_low": low,
        "ci_high": high,
        "median": float(np.median(np.repeat(values, covers))),
        "worst": float(values[worst]),
        "worst_case": row["case"],
    }
    if kind.shifted:
        found |= {"worst_dy": int(row["dy"]), "worst_dx": int(row["dx"])}
    return {f"{kind.name}_{name}": value for name, value in found.items()}


def _mean(values: NDArray[np.float64], covers: NDArray[np.int64]) -> float:
    """The exactly rounded mean: however the rows are split and ordered, it is one number."""
    if not np.isfinite(values).all():
        return float(values.mean())
    return fsum(values * covers) / int(covers.sum())


def _interval(part: pd.DataFrame, kind: Column) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean over cases, which are what is sampled."""
    cases = part.groupby("case", sort=True)
    means = np.array([np.average(c[kind.name], weights=c["covers"]) for _, c in cases])
    if len(means) < 2 or not np.isfinite(means).all():
        return np.nan, np.nan
    found = bootstrap(
        (means,), np.mean, method="percentile", n_resamples=_RESAMPLES,
        rng=generator("bootstrap", kind.name),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def non_finite(rows: pd.DataFrame) -> list[dict[str, object]]:
    """A failure for each case with a normalised error that is NaN or infinite."""
    found = []
    bad = rows.loc[~np.isfinite(rows["eq_nmse"])]
    for (model, suite, case), part in bad.groupby(["model", "suite", "case"], sort=False):
        first = part.iloc[0]
        shifts = f"{len(part)} shifts, first " if len(part) > 1 else ""
        reason = (
            "its output is not finite there"
            if np.isnan(first["eq_nmse"])
            else "an infinite output, or an unshifted one that is zero"
        )
        message = (
            f"{model} has an NMSE of {first['eq_nmse']} on {suite}, case {case}, {shifts}"
            f"({first['dy']}, {first['dx']}): {reason}"
        )
        place = {"model": model, "suite": suite, "cases": [case]}
        found.append({**place, "error": "NonFinite", "message": message})
    return found
