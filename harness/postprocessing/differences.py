"""What is other in one run than in another: in what was asked for, and in the numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from equibench.runs.fingerprint import changes
from equibench.runs.run_folder import RunFolder
from equibench.statistics.summary import KEYS, columns

__all__ = ["Differences", "Figure", "differences"]

_STATISTICS = ("mean", "worst")
_ROW = ["model", "suite", "case", "transform", "element", "dy", "dx", "draw"]


@dataclass(frozen=True)
class Figure:
    """A number of a summary that is another one in the second run.

    Args:
        place: model, suite, and group and transform where there are several.
        name: as summaries call it, ``eq_nmse_mean``.
    """

    place: str
    name: str
    before: float
    after: float

    @property
    def share(self) -> float:
        """By what part of the first it changed; NaN where that is no number."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.after - self.before) / abs(self.before))


@dataclass(frozen=True)
class Differences:
    """Two runs, held against each other.

    Args:
        conditions: a phrase for each thing that was asked for, or on which numbers depend.
        surroundings: the same of machines and versions, which need not matter.
        figures: numbers of the summaries that differ, those that differ most first.
        equal: how many numbers of the summaries are equal to the last bit.
        rows: how many rows are equal in all metrics, of how many that both runs have.
        only: models on suites that only the first, or only the second, has.
    """

    conditions: list[str]
    surroundings: list[str]
    figures: list[Figure]
    equal: int
    rows: tuple[int, int]
    only: tuple[list[str], list[str]]

    @property
    def same(self) -> bool:
        """Whether the runs measured the same under the same conditions."""
        return not (self.conditions or self.figures or any(self.only))


def differences(before: RunFolder, after: RunFolder) -> Differences:
    """Hold a run against another one, number by number; neither is judged.

    Raises:
        UsageError: a run without rows.
        EquibenchError: a file is damaged.
    """
    old, new = before.manifest, after.manifest
    asked = [*changes(old["fingerprint"], new["fingerprint"])]
    shared_models = [label for label in old["models"] if label in new["models"]]
    for label in shared_models:
        asked += changes({label: old["models"][label]}, {label: new["models"][label]})
    around = changes(old.get("environment", {}), new.get("environment", {}))
    first, second = (_figures(folder.summary()) for folder in (before, after))
    shared = [key for key in first if key in second]
    figures = [
        Figure(place, name, first[place, name], second[place, name])
        for place, name in shared
        if not _equal(first[place, name], second[place, name])
    ]
    figures.sort(key=lambda f: -np.nan_to_num(abs(f.share), nan=np.inf))
    places = [list(dict.fromkeys(place for place, _ in side)) for side in (first, second)]
    only = [[p for p in mine if p not in theirs] for mine, theirs in (places, places[::-1])]
    return Differences(
        list(dict.fromkeys(asked)),
        [each for each in around if each not in asked],
        figures,
        len(shared) - len(figures),
        _rows(before.rows(), after.rows()),
        (only[0], only[1]),
    )


def _figures(summary: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Mean and worst of each metric, by place and name."""
    names = [name.removesuffix("_mean") for name in summary.columns if name.endswith("_mean")]
    kinds = columns(names)
    shown = [key for key in KEYS if key in KEYS[:2] or len(set(summary[key])) > 1]
    found = {}
    for line in summary.to_dict("records"):
        place = " · ".join(str(line[key]) for key in shown)
        for name, value in _values(line, [kind.name for kind in kinds]):
            found[place, name] = value
    return found


def _values(line: Mapping[Any, Any], names: list[str]) -> Iterator[tuple[str, float]]:
    for name in names:
        for statistic in _STATISTICS:
            value = line.get(f"{name}_{statistic}")
            if value is not None and not pd.isna(value):
                yield f"{name}_{statistic}", float(value)


def _rows(before: pd.DataFrame, after: pd.DataFrame) -> tuple[int, int]:
    """How many rows are equal in the metrics that both have, and how many are in both."""
    names = [column.name for column in columns(list(before.columns)) if column.name in after]
    sides = [rows[[*_ROW, *names]].assign(**_text(rows)) for rows in (before, after)]
    both = sides[0].merge(sides[1], on=_ROW, suffixes=("", " of the second"))
    if not names or both.empty:
        return 0, len(both)
    mine, theirs = both[names], both[[f"{name} of the second" for name in names]].to_numpy()
    equal = (mine.to_numpy() == theirs) | (mine.isna().to_numpy() & pd.isna(theirs))
    return int(equal.all(axis=1).sum()), len(both)


def _text(rows: pd.DataFrame) -> dict[str, "pd.Series[Any]"]:
    """Keys that may be empty, as what can be joined on."""
    return {name: rows[name].astype(str) for name in ("element", "dy", "dx")}


def _equal(one: float, other: float) -> bool:
    return one == other or (np.isnan(one) and np.isnan(other))
