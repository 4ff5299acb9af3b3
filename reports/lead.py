"""Which networks are the most and the least shift-equivariant, for sentences in plain words."""

from dataclasses import dataclass, field

import pandas as pd

from equibench.reports.data import RunData
from equibench.reports.tables import METRICS_SHOWN, measured, number
from equibench.summary import Column

__all__ = ["Extreme", "Lead", "lead"]

_NAMED = 4


@dataclass(frozen=True)
class Extreme:
    """Models that share one end of the ranking, and where they do.

    Args:
        models: the first few of them.
        more: how many are not named.
        places: suites, each with the value that the models have there.
    """

    models: tuple[str, ...]
    more: int
    places: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Lead:
    """Both ends of the ranking on every suite (and group).

    Args:
        metric: its title.
        tied: where all models have the same value, as a single model has.
    """

    metric: str
    best: list[Extreme]
    worst: list[Extreme]
    tied: list[Extreme]


def lead(data: RunData) -> Lead | None:
    """The ranking by the mean of the first metric that tables show; None without rows."""
    shown = measured(data.summary, METRICS_SHOWN[:1]) if len(data.summary) else []
    if not shown:
        return None
    best: dict[tuple[str, ...], Extreme] = {}
    worst: dict[tuple[str, ...], Extreme] = {}
    tied: dict[tuple[str, ...], Extreme] = {}
    for (suite, group), part in data.summary.groupby(["suite", "group"], sort=False):
        place = f"{suite}, {group}" if group != "all" else str(suite)
        low, high = _ends(part, shown[0])
        ends = [(tied, low)] if low == high else [(best, low), (worst, high)]
        for found, (models, value) in ends:
            extreme = Extreme(models[:_NAMED], len(models[_NAMED:]))
            found.setdefault(models, extreme).places.append((place, value))
    return Lead(shown[0].title, *(list(found.values()) for found in (best, worst, tied)))


def _ends(part: pd.DataFrame, column: Column) -> list[tuple[tuple[str, ...], str]]:
    """The best and the worst models, each with the value that they share."""
    means = part[f"{column.name}_mean"].astype(float)
    # NaN is worse than any number
    badness = (-means if column.higher_is_better else means).fillna(float("inf"))
    ends = []
    for end in (badness.min(), badness.max()):
        mine = part[badness == end]
        value = number(float(means[badness == end].iloc[0]), column.format)
        ends.append((tuple(str(model) for model in mine["model"]), value))
    return ends
