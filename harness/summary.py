"""From rows to one line for each model, suite and group."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil, fsum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm, t

from equibench.metrics import Metric
from equibench.registry import METRICS
from equibench.rounding import allowance
from equibench.seeds import generator

__all__ = ["Column", "columns", "exact_sum", "interval", "non_finite", "summarize", "worst_at"]

_RESAMPLES = 2000
_DRAWN = 2**17
"""Clusters that are drawn at a time: memory does not grow with the number of cases."""

_THREADS = 4
"""Columns that are summed up at once."""

KEYS = ["model", "suite", "group"]
"""What a line of a summary is about."""
_OF_SHIFTS = (
    *("cluster", "case", "dy", "dx", "precision"),
    *("near_ties", "covers", "exact", "spot_deviation"),
)
"""Columns that say of shifts what no metric does."""


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
    covers; ``exact`` says whether they are all the circular shifts there are, ``inexact`` how many
    cases have residue classes that their spot checks contradict.
    """
    parts = [rows] if isinstance(rows, pd.DataFrame) else rows
    return pd.DataFrame([line for part in parts for line in _lines(part)])


def _lines(rows: pd.DataFrame) -> Iterator[dict[str, object]]:
    kinds = columns(list(rows.columns))
    over_shifts = [*_OF_SHIFTS, *(kind.name for kind in kinds if kind.shifted)]
    number = _numbered(rows)
    draw = rows["draw"].to_numpy()
    for group in range(number.max() + 1):
        mine = number == group
        first = rows.iloc[int(mine.argmax())]
        unshifted = rows[mine & (draw == 0)]
        shifted = rows.loc[mine & (draw > 0), over_shifts]
        yield {key: first[key] for key in KEYS} | _line(first, unshifted, shifted, kinds)


def _numbered(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Which group each row belongs to, groups counted in the order in which they appear."""
    number = np.zeros(len(rows), dtype=np.int64)
    for key in KEYS:
        labels = rows[key].astype("category").cat
        number = number * len(labels.categories) + labels.codes.to_numpy()
    return pd.factorize(number)[0]


def _line(
    first: "pd.Series[Any]", unshifted: pd.DataFrame, shifted: pd.DataFrame, kinds: Sequence[Column]
) -> dict[str, object]:
    line: dict[str, object] = {
        "cases": len(unshifted),
        "shifts": int(shifted["covers"].sum()),
        "evaluated": len(shifted),
        "frame": first["frame"],
        "precision": first["precision"],
        "exact": bool(shifted["exact"].all()),
        "padded": "padded" in unshifted and bool(unshifted["padded"].any()),
        "spot_deviation": float(shifted["spot_deviation"].max()),
    }
    for over in (shifted, unshifted):
        # a model that returns nothing but NaN still has an error
        mine = [
            kind
            for kind in kinds
            if kind.shifted == (over is shifted)
            and (kind.name == "eq_nmse" or over[kind.name].notna().any())
        ]
        clusters = _cluster_sums(over, [kind.name for kind in mine])
        statistics = partial(_statistics, over, _reduced(over["covers"]), clusters)
        with ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(statistics, mine):
                line |= found
    line["near_ties"] = _tied(shifted)
    # cases whose spot checks deviate, and whether near-ties may be why
    line["inexact"] = int((~unshifted["exact"] & unshifted["spot_deviation"].notna()).sum())
    line["inexact_near_ties"] = _tied(shifted[~shifted["exact"].astype(bool)])
    floor = float(unshifted["floor_nmse"].max())
    line["floor_nmse"] = floor
    line["flips"], line["flips_error"] = _flips(shifted, floor)
    return line


def _tied(rows: pd.DataFrame) -> float:
    """The share of rows with near-ties; NaN where no model counts them."""
    counted = rows["near_ties"].dropna()
    return float((counted > 0).mean()) if len(counted) else np.nan


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


def _statistics(
    over: pd.DataFrame, covers: NDArray[np.int64], clusters: pd.DataFrame, kind: Column
) -> dict[str, object]:
    values = over[kind.name].to_numpy(dtype=np.float64)
    worst = worst_at(values, kind)
    place = over[["case", "dy", "dx"]].iloc[worst]
    *middle, q95 = _quantiles(values, covers, kind.higher_is_better)
    sums, counts = (clusters[name].to_numpy() for name in (kind.name, "covers"))
    low, high = interval(sums, counts, generator("bootstrap", kind.name))
    found: dict[str, object] = {
        "mean": _mean(values, covers),
        "ci_low": low,
        "ci_high": high,
        "median": float(np.mean(middle)),
        "q95": q95,
        "worst": float(values[worst]),
        "worst_case": place["case"],
    }
    if kind.shifted:
        found |= {"worst_dy": int(place["dy"]), "worst_dx": int(place["dx"])}
    return {f"{kind.name}_{name}": value for name, value in found.items()}


def _reduced(covers: "pd.Series[int]") -> NDArray[np.int64]:
    """How often each row counts, in the smallest whole numbers."""
    counts: NDArray[np.int64] = np.asarray(covers, dtype=np.int64)
    if len(counts) and (counts == counts[0]).all():
        return np.ones_like(counts)
    return np.asarray(counts // np.gcd.reduce(counts))


def _mean(values: NDArray[np.float64], covers: NDArray[np.int64]) -> float:
    """The exactly rounded mean: however the rows are split and ordered, it is one number."""
    if not np.isfinite(values).all():
        return float(values.mean())
    return exact_sum(values * covers) / int(covers.sum())


def exact_sum(values: NDArray[np.float64]) -> float:
    """What ``math.fsum`` gives of finite values (n,), n < 2²⁶, several times as fast.

    Mantissas are integers of 53 bits; the sums of their halves, one for each exponent, are exact
    in float64.
    """
    mantissas, exponents = np.frexp(values)
    mantissas = np.ldexp(mantissas, 26)
    high = np.floor(mantissas)
    low = np.ldexp(mantissas - high, 27)
    least = int(exponents.min(initial=0))
    found = []
    for halves, place in ((high, 26), (low, 53)):
        sums = np.bincount(exponents - least, halves)
        found.append(np.ldexp(sums, np.arange(len(sums)) + least - place))
    return fsum(np.concatenate(found).tolist())


def _quantiles(
    values: NDArray[np.float64], covers: NDArray[np.int64], higher_is_better: bool
) -> tuple[float, float, float]:
    """The two values in the middle, and what 95 % are no worse than, each value ``covers`` times.

    The last is the value at the first place that has at least 95 % at or before it, counted from
    the best.
    """
    if np.isnan(values).any():
        return np.nan, np.nan, np.nan
    total = int(covers.sum())
    place = max(ceil(total * 0.95 - 1), 0)
    ranks = [(total - 1) // 2, total // 2, total - 1 - place if higher_is_better else place]
    if len(values) == total:
        found = np.partition(values, ranks)[ranks]
    else:
        order = np.argsort(values, kind="stable")
        places = np.searchsorted(np.cumsum(covers[order]), ranks, side="right")
        found = values[order[places]]
    low, high, q95 = found.tolist()
    return low, high, q95


def _cluster_sums(over: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The sums of columns in every cluster, clusters by name, and how much each of them covers."""
    weights = over["covers"].astype("float64")
    sums = {name: weights * over[name] for name in names} | {"covers": weights}
    cluster = over["cluster"]
    if isinstance(cluster.dtype, pd.CategoricalDtype):
        cluster = cluster.cat.reorder_categories(sorted(cluster.cat.categories))
    grouped = pd.DataFrame(sums).groupby(cluster, sort=True, observed=True)
    # one by one: together, an infinite value of one column would round another's sums otherwise
    return pd.DataFrame({name: grouped[name].sum() for name in sums})


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
    uniform = np.ptp(counts) == 0

    def mean(sums: NDArray[np.float64], *counted: NDArray[np.float64], axis: int) -> Any:
        return sums.sum(axis=axis) / (n * counts[0] if uniform else counted[0].sum(axis=axis))

    found = bootstrap(
        (sums,) if uniform else (sums, counts), mean, paired=True, method="percentile",
        n_resamples=_RESAMPLES, batch=max(1, _DRAWN // n), confidence_level=1 - 2 * tail,
        rng=random,
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


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
