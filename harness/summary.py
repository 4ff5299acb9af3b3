"""From rows to one line for each model, suite and group."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm, t

from equibench.metrics import Metric
from equibench.registry import METRICS
from equibench.rounding import allowance
from equibench.seeds import generator

__all__ = ["Column", "columns", "interval", "non_finite", "summarize", "worst_at"]

_RESAMPLES = 2000
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


def summarize(rows: pd.DataFrame | Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One line for each model × suite × group, from rows or from parts that share no such group.

    Every column has mean, 95 % confidence interval of the mean (bootstrap over clusters of
    cases), median, the value that 95 % are no worse than, worst, and the case of the worst;
    equivariance columns its shift as well. ``flips`` is the share of shifts with an NMSE above
    rounding, ``flips_error`` the share of the mean NMSE that they make. NaN is worse than any
    number. Columns that are empty for a suite stay empty. A row counts for as many shifts as it
    covers; ``exact`` says whether they are all the circular shifts there are.
    """
    parts = [rows] if isinstance(rows, pd.DataFrame) else rows
    return pd.DataFrame([line for part in parts for line in _lines(part)])


def _lines(rows: pd.DataFrame) -> Iterator[dict[str, object]]:
    kinds = columns(list(rows.columns))
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
            "padded": "padded" in part and bool(part["padded"].any()),
            "spot_deviation": float(shifted["spot_deviation"].max()),
        }
        for kind in kinds:
            over = shifted if kind.shifted else unshifted
            # a model that returns nothing but NaN still has an error
            if kind.name == "eq_nmse" or over[kind.name].notna().any():
                line |= _statistics(over, kind)
        counted = shifted["near_ties"].dropna()
        line["near_ties"] = float((counted > 0).mean()) if len(counted) else np.nan
        floor = float(unshifted["floor_nmse"].max())
        line["floor_nmse"] = floor
        line["flips"], line["flips_error"] = _flips(shifted, floor)
        yield line


def _flips(shifted: pd.DataFrame, floor: float) -> tuple[float, float]:
    """The share of shifts whose NMSE is more than rounding, and that of the mean they make."""
    errors, covers = shifted["eq_nmse"].to_numpy(np.float64), shifted["covers"].to_numpy(np.float64)
    # NaN is no rounding
    flipped = ~(errors <= allowance(str(shifted["precision"].iloc[0]), floor))
    total = float(errors @ covers)
    made = float((errors * covers)[flipped].sum())
    share = np.nan if not np.isfinite(total) else made / total if total else 0.0
    return float(covers[flipped].sum() / covers.sum()), share


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
    every = np.repeat(values, covers)
    sign = -1 if kind.higher_is_better else 1
    low, high = _interval(part, kind)
    found: dict[str, object] = {
        "mean": _mean(values, covers),
        "ci_low": low,
        "ci_high": high,
        "median": float(np.median(every)),
        "q95": float(sign * np.quantile(sign * every, 0.95, method="inverted_cdf")),
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
    """Of the mean, by a bootstrap over clusters of cases: it is those that were sampled."""
    weights = part["covers"].astype("float64")
    sums = pd.DataFrame(
        {"cluster": part["cluster"], "n": weights, "sum": weights * part[kind.name]}
    )
    clusters = sums.groupby("cluster", sort=True)[["sum", "n"]].sum().to_numpy()
    return interval(clusters[:, 0], clusters[:, 1], generator("bootstrap", kind.name))


def interval(
    sums: NDArray[np.float64], counts: NDArray[np.float64], random: np.random.Generator
) -> tuple[float, float]:
    """95 % bootstrap interval of a mean over clusters; NaN for fewer than two.

    Percentiles of a bootstrap are too narrow by what the t distribution and n − 1 make of a
    standard error: the level is expanded by as much.

    Args:
        sums, counts: (n,) of the values in each cluster.

    Source: Hesterberg 2015, section 5.
    """
    if len(sums) < 2 or not np.isfinite(sums).all():
        return np.nan, np.nan
    if np.ptp(sums / counts) == 0:
        return float(sums[0] / counts[0]), float(sums[0] / counts[0])
    n = len(sums)
    tail = norm.cdf(np.sqrt(n / (n - 1)) * t.ppf(0.025, n - 1))
    found = bootstrap(
        (sums, counts), _ratio, paired=True, method="percentile", n_resamples=_RESAMPLES,
        confidence_level=1 - 2 * tail, rng=random,
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def _ratio(
    sums: NDArray[np.float64], counts: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = sums.sum(axis=axis) / counts.sum(axis=axis)
    return ratio


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
