"""Who is how robust on every suite, and over all of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from equibench.reports.findings.published_results import paper_name
from equibench.reports.findings.run_data import RunData, short_names

__all__ = ["Score", "Standing", "leaderboard", "network_names", "shown_names", "subset_name"]

_ERROR = "eq_nmse_mean"


@dataclass(frozen=True)
class Score:
    """A network's mean NMSE on one suite (and group), and its rank there; equals share one.

    Args:
        of: how many networks were ranked.
        rounding: no shift differs by more than rounding, which counts as an error of 0.
    """

    model: str
    error: float
    rank: int
    of: int
    rounding: bool


@dataclass(frozen=True)
class Standing:
    """One network of one run.

    Args:
        scores: by suite (and group).
    """

    run: str
    network: str
    scores: dict[str, Score] = field(default_factory=dict)

    @property
    def mean_rank(self) -> float:
        """Over the suites that it was measured on."""
        return sum(score.rank for score in self.scores.values()) / len(self.scores)


def leaderboard(runs: Mapping[str, RunData]) -> list[Standing]:
    """All networks of all runs, ranked together: by the number of suites, then by mean rank.

    Labels that the paper gives one name, such as those of one variant trained on MRI and on CT,
    stand in one line where no suite has two of them.
    """
    found: dict[tuple[str, str], Standing] = {}
    for subset, lines in _by_subset(runs).items():
        errors = pd.Series([0.0 if s.rounding else s.error for _, s in lines])
        # NaN is worse than any number
        ranks = errors.fillna(float("inf")).rank(method="min").astype(int)
        for (key, score), rank in zip(lines, ranks, strict=True):
            standing = found.setdefault(key, Standing(*key))
            standing.scores[subset] = Score(
                score.model, score.error, int(rank), len(lines), score.rounding
            )
    return sorted(found.values(), key=lambda s: (-len(s.scores), s.mean_rank))


def subset_name(suite: str, group: str) -> str:
    """What a suite and a group are called together."""
    return suite if group == "all" else f"{suite}, {group}"


def network_names(data: RunData) -> dict[str, str]:
    """What each label of a run is called where it is shown.

    The paper's name, else the label without its arguments; the label itself where that would call
    two networks of a suite alike.
    """
    described = data.manifest.get("models", {})
    names = {
        label: paper_name(described.get(label, {})) or label.partition(",")[0]
        for label in data.models
    }
    clash = {
        name
        for suite in data.suites
        for name, number in Counter(names[label] for label in data.models_of(suite)).items()
        if number > 1
    }
    return {label: label if name in clash else name for label, name in names.items()}


def shown_names(data: RunData, width: int) -> dict[str, str]:
    """``network_names`` of at most so many characters."""
    names = network_names(data)
    short = short_names(list(dict.fromkeys(names.values())), width)
    return {label: short[name] for label, name in names.items()}


def _by_subset(
    runs: Mapping[str, RunData],
) -> dict[str, Sequence[tuple[tuple[str, str], Score]]]:
    """Scores not yet ranked, by suite (and group), each with its run and network."""
    found: dict[str, list[tuple[tuple[str, str], Score]]] = {}
    for run, data in runs.items():
        names = network_names(data)
        for line in data.summary.to_dict("records"):
            model, rounding = str(line["model"]), line["flips"] == 0
            score = Score(model, float(line[_ERROR]), 0, 0, rounding)
            subset = subset_name(str(line["suite"]), str(line["group"]))
            found.setdefault(subset, []).append(((run, names[model]), score))
    return dict(found)
