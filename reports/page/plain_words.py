"""A run in plain words: who is the most robust on which data, and a sentence for each model."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, sqrt
from typing import Any

import pandas as pd

from equibench.errors import UsageError
from equibench.registry.registries import SUITES
from equibench.reports.findings.leaderboard import network_names, subset_name
from equibench.reports.findings.run_data import RunData
from equibench.reports.tables.values import number, of_labels
from equibench.transforms.transform import CIRCULAR, element_name

__all__ = [
    "Card",
    "Extreme",
    "Outcome",
    "Sentence",
    "cards",
    "change",
    "images",
    "outcome",
    "sentences",
]

_NAMED = 3


@dataclass(frozen=True)
class Extreme:
    """The models at one end of a ranking, and what shifts do to them.

    Args:
        models: the first few of those that share it; ``more`` are not named.
        says: in words, to follow “its output”.
    """

    models: tuple[str, ...]
    more: int
    says: str


@dataclass(frozen=True)
class Card:
    """One suite (and group) at a glance.

    Args:
        about: what the data are; empty for suites that are registered no more.
        measured: on how much.
        worst: None where all models share one error.
        ratio: how many times more than the most robust one's the output of the least robust one
            changes; empty where that is no number.
    """

    subset: str
    about: str
    measured: str
    best: Extreme
    worst: Extreme | None
    ratio: str


@dataclass(frozen=True)
class Outcome:
    """What shifts do to one model on one suite.

    Args:
        error: the mean NMSE; 0 where it is rounding, infinite where it is no number.
        share: of the output that changes.
        says: in words, to follow “its output”.
    """

    error: float
    share: float
    says: str


@dataclass(frozen=True)
class Sentence:
    """What is said of one network of one run.

    Args:
        models: its labels; several where it was trained several times, each for its own suites.
    """

    run: str
    models: tuple[str, ...]
    network: str
    text: str
    robust: bool


def change(nmse: float, labels: bool = False) -> str:
    """An NMSE as a share of the output's norm, or of pixels where it is of labels, in words."""
    if not isfinite(nmse):
        return "is not finite"
    share = _percent(nmse, labels)
    return f"changes in {share} of the pixels" if labels else f"changes by {share}"


def outcome(line: Mapping[Any, Any]) -> Outcome:
    """Of a line of a summary."""
    labels, mean = of_labels(line), float(line["eq_nmse_mean"])
    if line["flips"] == 0:
        return Outcome(0.0, 0.0, "does not change beyond rounding")
    error = float("inf") if isnan(mean) else mean  # NaN is worse than any number
    says = f"{change(error, labels)} on average"
    if 0 < error < float("inf"):
        says += f", {_percent(float(line['eq_nmse_worst']), labels)} at worst"
    return Outcome(error, _share(error, labels), says)


def images(shifted: int, transformed: int) -> str:
    """How many images were shifted circularly, and how many transformed otherwise, in words."""
    if not transformed:
        return f"{shifted:,} shifted images"
    if not shifted:
        return f"{transformed:,} transformed images"
    return f"{shifted:,} shifted and {transformed:,} otherwise transformed images"


def cards(runs: Mapping[str, RunData]) -> list[Card]:
    """One for each suite (and group), in the order of the runs, all runs together."""
    parts: dict[tuple[str, str], list[pd.DataFrame]] = {}
    names: dict[str, str] = {}
    for run, data in runs.items():
        names |= data.suite_names
        if data.summary.empty:
            continue
        for key, part in data.summary.groupby(["suite", "group"], sort=False):
            shown = part["model"].map(network_names(data))
            shown = shown if len(runs) == 1 else shown + f" ({run})"
            parts.setdefault((str(key[0]), str(key[1])), []).append(part.assign(model=shown))
    return [
        _card(subset_name(*key), _about(names[key[0]]), pd.concat(found))
        for key, found in parts.items()
    ]


def sentences(runs: Mapping[str, RunData]) -> list[Sentence]:
    """One for each network of each run, in their order."""
    found = []
    for run, data in runs.items():
        names = network_names(data)
        for network in dict.fromkeys(names.values()):
            models = tuple(model for model in data.models if names[model] == network)
            lines = data.summary[data.summary["model"].isin(models)].to_dict("records")
            text = _sentence(lines) + _untrained(lines, data.untrained)
            robust = all(line["flips"] == 0 for line in lines)
            found.append(Sentence(run, models, network, text, robust))
    return found


def _untrained(lines: Sequence[Mapping[Any, Any]], untrained: Collection[str]) -> str:
    """Where the weights of a network are those of the initialisation."""
    where = [_subset(line) for line in lines if line["model"] in untrained]
    if not where:
        return ""
    if len(where) == len(lines):
        return " Its weights are untrained."
    return f" On {_listed(where)} its weights are untrained."


def _about(suite: str) -> str:
    try:
        return SUITES.get(suite).info.summary
    except UsageError:  # it is registered no more
        return ""


def _card(subset: str, about: str, part: pd.DataFrame) -> Card:
    found = [(str(line["model"]), outcome(line)) for line in part.to_dict("records")]
    ranked = sorted((each for _, each in found), key=lambda each: each.error)
    low, high = ranked[0], ranked[-1]
    best, worst = (_extreme(found, end.error) for end in (low, high))
    known = 0 < low.error < high.error < float("inf")
    ratio = f"{high.share / low.share:.3g}" if known else ""
    cases, shifts = (_range(part[column]) for column in ("cases", "shifts"))
    how = "shifted" if (part["transform"] == CIRCULAR).all() else "transformed"
    measured = f"{cases} {'case' if cases == '1' else 'cases'}, {shifts} {how} images a model"
    return Card(subset, about, measured, best, None if low.error == high.error else worst, ratio)


def _range(counts: "pd.Series[int]") -> str:
    """A count, or the smallest and the largest where models differ."""
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _extreme(found: Sequence[tuple[str, Outcome]], error: float) -> Extreme:
    alike = [(model, each.says) for model, each in found if each.error == error]
    models = tuple(model for model, _ in alike)
    return Extreme(models[:_NAMED], len(models[_NAMED:]), alike[0][1])


def _sentence(lines: Sequence[Mapping[Any, Any]]) -> str:
    parts = []
    for word in ("shift", "motion"):
        circular = word == "shift"
        same = [
            _subset(line)
            for line in lines
            if line["flips"] == 0 and (line["transform"] == CIRCULAR) == circular
        ]
        if same:
            parts.append(f"On {_listed(same)} no {word} changes its output beyond rounding.")
    for line in lines:
        if line["flips"] == 0:
            continue
        mean, worst = float(line["eq_nmse_mean"]), float(line["eq_nmse_worst"])
        labels = of_labels(line)
        text = (
            f"On {_subset(line)} its {'labelling' if labels else 'output'} {change(mean, labels)}"
        )
        if isfinite(mean):
            at = element_name(line, "eq_nmse_worst_")
            at = f"shift {at}" if at.startswith("(") else at
            case = line["eq_nmse_worst_case"]
            text += f" on average and {_percent(worst, labels)} at worst ({case}, {at})"
        moved = line.get("delta_psnr_worst")
        if moved is not None and pd.notna(moved):
            text += f"; its PSNR moves by up to {number(float(moved), '.2g')} dB"
        parts.append(f"{text}.")
    return " ".join(parts)


def _share(nmse: float, labels: bool) -> float:
    """Of the output's norm, or of pixels: one that changes is two differences of class maps."""
    return nmse / 2 if labels else sqrt(nmse)


def _percent(nmse: float, labels: bool) -> str:
    percent = 100 * _share(nmse, labels)
    return (
        f"{percent:.0f}\N{NO-BREAK SPACE}%"
        if percent >= 10
        else f"{percent:.2g}\N{NO-BREAK SPACE}%"
    )


def _subset(line: Mapping[Any, Any]) -> str:
    return subset_name(str(line["suite"]), str(line["group"]))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
