"""From rows to one line for each model, suite and group."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from equibench.evidence.repeatability import KINDS
from equibench.evidence.words import could_deviate, rows_of_today, weakest
from equibench.foundation.rounding import allowance
from equibench.metrics.chosen import metrics_of
from equibench.statistics.averages import exact_sum, mean, quantiles
from equibench.statistics.confidence_intervals import Interval, interval
from equibench.transforms.transform import AXES, CIRCULAR, element_name

__all__ = ["Column", "columns", "kept_apart", "non_finite", "summarize", "worst_at"]

_THREADS = 4
"""Columns that are summed up at once."""

KEYS = ["model", "suite", "group", "transform"]
"""What a line of a summary is about."""
_OF_SHIFTS = (
    *("cluster", "case", "element", *AXES, "precision"),
    *("near_ties", "covers", "evidence", "spots", "spot_deviation", "screen_nmse"),
)
"""Columns that say of shifts what no metric does."""


@dataclass(frozen=True)
class Column:
    """A column of rows that a summary is made of.

    Args:
        name: in rows and summaries.
        title: of the metric, the same for equivariance and quality.
        higher_is_better: decides which row is the worst.
        shifted: over shifts; otherwise over cases, unshifted.
        best: the value that nothing is better than; infinite where there is none.
        version: of the metric's definition.
        labels: whether it is of class maps.
    """

    name: str
    title: str
    unit: str
    format: str
    higher_is_better: bool
    shifted: bool
    best: float
    version: int
    labels: bool

    @property
    def full_title(self) -> str:
        """The title, and which images are compared where that could be others."""
        if not self.shifted:
            return f"{self.title} with the truth"
        return f"{self.title} between outputs" if self.higher_is_better else self.title

    @property
    def heading(self) -> str:
        """Full title, unit and direction."""
        return self._with_direction(self.full_title)

    @property
    def short_heading(self) -> str:
        """Title, unit and direction: below another heading that says which images are compared."""
        return self._with_direction(self.title)

    def _with_direction(self, title: str) -> str:
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{title}{unit} {'↑' if self.higher_is_better else '↓'}"


def columns(names: Sequence[str]) -> list[Column]:
    """The metric columns among some column names, equivariance first."""
    equivariance, changes, quality = [], [], []
    for m in metrics_of(names):
        up, best = m.higher_is_better, m.bounds[1 if m.higher_is_better else 0]
        shown, kind = (m.title, m.unit, m.format, up), (m.version, m.labels)
        equivariance.append(Column(f"eq_{m.column}", *shown, True, best, *kind))
        quality.append(Column(m.column, *shown, False, best, *kind))
        if m.delta_format:
            shown = f"Δ{m.title}", m.unit, m.delta_format, False
            changes.append(Column(f"delta_{m.column}", *shown, True, 0.0, *kind))
    return [c for c in [*equivariance, *changes, *quality] if c.name in names]


def summarize(rows: pd.DataFrame | Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One line for each model × suite × group × transform, from rows or from parts that share none.

    Every column has mean, 95 % confidence interval of the mean (over clusters of cases) or the
    reason why there is none, median, the value that 95 % are no worse than, worst, and the case of
    the worst; equivariance columns its shift as well. ``flips`` is the share of shifts with an NMSE
    above rounding, ``flips_error`` the share of the mean NMSE that they make. NaN is worse than any
    number. Columns that are empty for a suite stay empty. A row counts for as many shifts as it
    covers. ``evidence`` is how the worst case over all shifts is known, the weakest of all cases;
    ``could_deviate`` the largest share of shifts that may still deviate where it is sampled, at
    95 %, from all ``spots`` checks; ``contradicted`` how many cases have residue classes that
    their spot checks contradict, and ``constant`` of how many the outputs are one value.
    ``near_ties`` is the share of shifts with a near-tie of adaptive
    layers, ``tied`` that of cases with any; ``tied_nmse`` and ``untied_nmse`` are the mean NMSE of
    those and of the others. ``repeatability`` says why the same image gives something else
    once more, if it does. Of screened runs, ``screened`` is how many shifts were measured in the
    fast precision ``screen`` alone, and ``screen_nmse`` the largest NMSE by which that was off.
    """
    parts = [rows] if isinstance(rows, pd.DataFrame) else rows
    known = cache(columns)  # most parts have the same
    return pd.DataFrame(
        [line for part in parts for line in _lines(rows_of_today(part), known(tuple(part.columns)))]
    )


def _lines(rows: pd.DataFrame, kinds: Sequence[Column]) -> Iterator[dict[str, object]]:
    over_shifts = [name for name in _OF_SHIFTS if name in rows]
    over_shifts += [kind.name for kind in kinds if kind.shifted]
    number = _numbered(rows)
    draw = rows["draw"].to_numpy()
    for group in range(number.max() + 1):
        mine = number == group
        first = rows.iloc[int(mine.argmax())]
        unshifted = rows[mine & (draw == 0)]
        shifted = rows[over_shifts][mine & (draw > 0)]
        yield {key: first[key] for key in KEYS} | _line(first, unshifted, shifted, kinds)


def _numbered(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Which group each row belongs to, groups counted in the order in which they appear."""
    number = np.zeros(len(rows), dtype=np.int64)
    for key in KEYS:
        labels = rows[key].astype("category").cat
        if len(labels.categories) > 1:
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
        **_evidence(shifted),
        "repeatability": str(unshifted["repeatability"].iloc[0]),
        "repeat_nmse": float(unshifted["repeat_nmse"].iloc[0]),
        "padded": "padded" in unshifted and bool(unshifted["padded"].any()),
        "resized": _text(unshifted["resized"].iloc[0]) if "resized" in unshifted else "",
        "constant": int(unshifted["constant"].sum()) if "constant" in unshifted else 0,
        "spot_deviation": float(shifted["spot_deviation"].max()),
    }
    floor = float(unshifted["floor_nmse"].max())
    # NaN is no rounding, nor is what a model does not repeat
    own = np.nan if line["repeatability"] in KINDS else floor
    rounding = allowance(str(first["precision"]), own)
    flipped = ~(shifted["eq_nmse"].to_numpy(np.float64) <= rounding)
    for over in (shifted, unshifted):
        # a model that returns nothing but NaN still has an error
        mine = [
            kind
            for kind in kinds
            if kind.shifted == (over is shifted)
            and (kind.name == "eq_nmse" or over[kind.name].notna().any())
        ]
        clusters = _Clusters(over, flipped if over is shifted else None)
        line["clusters"] = len(clusters.counts)
        statistics = partial(_statistics, over, _reduced(over["covers"]), clusters)
        with ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(statistics, mine):
                line |= found
    line["near_ties"] = _tied(shifted["near_ties"])
    line |= _by_tie(shifted)
    # cases whose spot checks deviate, and whether near-ties may be why
    denied = (unshifted["evidence"] == "") & unshifted["spot_deviation"].notna()
    line["contradicted"] = int(denied.sum())
    line["contradicted_near_ties"] = _tied(shifted["near_ties"][shifted["evidence"] == ""])
    line |= _screening(shifted, str(first["precision"]))
    line["floor_nmse"] = floor
    line["flips"], line["flips_error"] = _flips(shifted, flipped)
    return line


def _text(value: object) -> str:
    """Of a column that rows of old runs lack."""
    return value if isinstance(value, str) else ""


def _evidence(shifted: pd.DataFrame) -> dict[str, object]:
    """The weakest evidence of all cases, and what that of samples leaves open."""
    cases = shifted.drop_duplicates("case")
    checks = int(cases.loc[cases["evidence"] == "sampled", "spots"].sum())
    word = weakest(cases["evidence"])
    open_share = could_deviate(checks) if word == "sampled" else np.nan
    return {"evidence": word, "spots": checks, "could_deviate": open_share}


def _screening(shifted: pd.DataFrame, precision: str) -> dict[str, object]:
    """How many shifts were measured in a fast precision alone, which, and how far off it was."""
    if "screen_nmse" not in shifted or not shifted["screen_nmse"].notna().any():
        return {}
    fast = shifted[shifted["precision"] != precision]
    return {
        "screen": str(fast["precision"].iloc[0]) if len(fast) else "",
        "screened": len(fast),
        "screen_nmse": float(shifted["screen_nmse"].max()),
    }


def _tied(near_ties: "pd.Series[float]") -> float:
    """The share of rows with near-ties; NaN where no model counts them."""
    counted = near_ties.dropna()
    return float((counted > 0).mean()) if len(counted) else np.nan


def _by_tie(shifted: pd.DataFrame) -> dict[str, object]:
    """The share of cases with a near-tie under any shift, and the mean NMSE with and without."""
    found: dict[str, object] = {"tied": np.nan, "tied_nmse": np.nan, "untied_nmse": np.nan}
    counted = shifted[shifted["near_ties"].notna()]
    if len(counted):
        ties = counted.groupby("case", observed=True)["near_ties"].max() > 0
        tied = counted["case"].map(ties).to_numpy(bool)
        errors, covers = counted["eq_nmse"].to_numpy(np.float64), counted["covers"].to_numpy()
        found["tied"] = float(ties.mean())
        for name, mine in (("tied_nmse", tied), ("untied_nmse", ~tied)):
            found[name] = mean(errors[mine], covers[mine]) if mine.any() else np.nan
    return found


def _flips(shifted: pd.DataFrame, flipped: NDArray[np.bool_]) -> tuple[float, float]:
    """The share of shifts whose NMSE is more than rounding, and that of the mean they make."""
    errors, covers = shifted["eq_nmse"].to_numpy(np.float64), shifted["covers"].to_numpy(np.float64)
    weighted = errors * covers
    share = np.nan
    if np.isfinite(weighted).all():
        total = exact_sum(weighted)
        share = exact_sum(weighted[flipped]) / total if total else 0.0
    return float(covers[flipped].sum() / covers.sum()), share


def kept_apart(table: pd.DataFrame) -> pd.DataFrame:
    """Rows or a summary whose groups tell transforms apart: ``crop``, or ``PD · crop``.

    Circular shifts are what groups without a word for it are about.
    """
    if "transform" not in table or (table["transform"] == CIRCULAR).all():
        return table
    pairs = zip(*(table[name].astype(str) for name in KEYS[2:]), strict=True)
    return table.assign(group=[_apart(group, transform) for group, transform in pairs])


@cache
def _apart(group: str, transform: str) -> str:
    if transform == CIRCULAR or group == transform or group.endswith(f" · {transform}"):
        return group
    return transform if group == "all" else f"{group} · {transform}"


def worst_at(values: NDArray[np.float64], kind: Column) -> int:
    """The position of the worst value; NaN is worse than any number."""
    undefined = np.isnan(values)
    if undefined.any():
        return int(undefined.argmax())
    return int(values.argmin() if kind.higher_is_better else values.argmax())


def _statistics(
    over: pd.DataFrame, covers: NDArray[np.int64], clusters: "_Clusters", kind: Column
) -> dict[str, object]:
    values = over[kind.name].to_numpy(dtype=np.float64)
    worst, within = worst_at(values, kind), clusters.interval(values, kind.best)
    median, (q95,) = quantiles(values, covers, [95], kind.higher_is_better)
    found: dict[str, object] = {
        "mean": mean(values, covers),
        "ci_low": within.low,
        "ci_high": within.high,
        "ci_reason": within.reason,
        "median": median,
        "q95": q95,
        "worst": float(values[worst]),
        "worst_case": over["case"].iloc[worst],
    }
    if kind.shifted:
        found |= {f"worst_{name}": value for name, value in _place(over, worst).items()}
    return {f"{kind.name}_{name}": value for name, value in found.items()}


def _place(over: pd.DataFrame, row: int) -> dict[str, object]:
    """Which element a row is of: its shift along each axis, and its name where it has one."""
    found: dict[str, object] = {}
    for axis in AXES:
        if axis in over:
            value = float(cast("float", over[axis].iloc[row]))
            found[axis] = int(value) if value.is_integer() else value
    if element := str(over["element"].iloc[row]):
        found["element"] = element
    return found


def _reduced(covers: "pd.Series[int]") -> NDArray[np.int64]:
    """How often each row counts, in the smallest whole numbers."""
    counts: NDArray[np.int64] = np.asarray(covers, dtype=np.int64)
    if len(counts) and (counts == counts[0]).all():
        return np.ones_like(counts)
    return np.asarray(counts // np.gcd.reduce(counts))


class _Clusters:
    """Which rows are not independent of each other; rows of no cluster are in none.

    Args:
        flipped: (n,), which rows have an error beyond rounding; None where that is not asked.
    """

    def __init__(self, over: pd.DataFrame, flipped: NDArray[np.bool_] | None) -> None:
        labels = over["cluster"].astype("category").cat
        self.number = len(labels.categories)
        ranks = np.argsort(np.argsort(labels.categories.to_numpy(object)))
        self.of_row = np.append(ranks, self.number)[labels.codes.to_numpy()]
        members = np.bincount(self.of_row, minlength=self.number)[: self.number]
        self.present = np.flatnonzero(members)
        self.covers = over["covers"].to_numpy(np.float64)
        self.counts = self._sum(self.covers)
        self.beyond = None if flipped is None else self._sum(flipped.astype(np.float64)) > 0

    def interval(self, values: NDArray[np.float64], best: float) -> Interval:
        """Of the mean of values (n,)."""
        sums = self._sum(self.covers * values)
        return interval(sums, self.counts, best=best, beyond=self.beyond)

    def _sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """By cluster, clusters in the order of their names."""
        sums = np.bincount(self.of_row, values, self.number).astype(np.float64, copy=False)
        return sums[self.present]


def non_finite(rows: pd.DataFrame) -> list[dict[str, object]]:
    """A failure for each case with an output that is not finite, which makes its NMSE NaN.

    An infinite NMSE is a result: it says that the unshifted output is zero.
    """
    found = []
    bad = rows.loc[rows["eq_nmse"].isna()]
    keys = [key for key in ("model", "suite", "case", "transform") if key in rows]
    for (model, suite, case, *_), part in bad.groupby(keys, sort=False):
        first = part.iloc[0]
        shifts = f"{len(part)} shifts, first " if len(part) > 1 else ""
        message = (
            f"{model} has an NMSE of nan on {suite}, case {case}, {shifts}"
            f"{element_name(first)}: its output is not finite there"
        )
        names = {"model": model, "suite": suite, "cases": [case]}
        found.append({**names, "error": "NonFinite", "message": message})
    return found
