"""What stands under a table: how its worst cases are known, and what else its numbers need."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from equibench.evidence.words import EVIDENCE
from equibench.foundation.rounding import far_above
from equibench.reports.findings.run_data import UNTRAINED
from equibench.reports.tables.values import number
from equibench.transforms.transform import CIRCULAR

__all__ = ["notes_of", "padded", "unrepeatable"]

_Line: TypeAlias = Mapping[Any, Any]


def notes_of(summary: pd.DataFrame, weights: Mapping[str, str]) -> list[str]:
    """A line for each kind of thing without which the numbers would be misread.

    Args:
        weights: by model.
    """
    models = list(summary["model"].unique())
    untrained = [model for model in models if weights.get(model) == UNTRAINED]
    notes = []
    if untrained:
        who = "all networks" if len(untrained) == len(models) else ", ".join(untrained)
        notes.append(f"{UNTRAINED}: {who} (networks start from a fixed seed)")
    notes += _constant(_where(summary, "constant"))
    notes += _evidence(summary)
    notes += _screened(_where(summary, "screened"))
    notes += _contradicted(_where(summary, "contradicted"))
    notes += _tied([line for line in _where(summary, "tied") if _is_circular(line)])
    notes += _immeasurable([line for line in _where(summary, "eq_nmse_worst") if _is_zero(line)])
    notes += _drowned([line for line in _where(summary, "floor_nmse") if _is_drowned(line)])
    notes += unrepeatable(summary)
    notes += filter(None, [padded(summary)])
    resized = [(line["resized"], line["model"]) for line in _where(summary, "resized")]
    for how in dict.fromkeys(how for how, _ in resized):
        who = ", ".join(dict.fromkeys(model for mine, model in resized if mine == how))
        grid = f"output resized to the grid of the input ({how})"
        if how.startswith("1/"):
            grid = f"compared on the output's grid, {how} of the input's, at shifts that it divides"
        notes.append(f"{grid}: {who}")
    return notes


def _constant(lines: Sequence[_Line]) -> list[str]:
    """Which outputs could not have shown an error."""
    if not lines:
        return []
    who = _subjects(lines, lambda line: f" ({line['constant']} of {line['cases']})")
    return [
        f"constant outputs: {who} of the cases; each channel is one value throughout, which no "
        "shift changes, so that these cases say nothing of equivariance"
    ]


def padded(summary: pd.DataFrame) -> str:
    """Which models were measured with padding around them; empty where none was."""
    if "padded" not in summary or not summary["padded"].any():
        return ""
    who = ", ".join(summary.loc[summary["padded"], "model"].unique())
    return f"padded and cropped back, which changes equivariance: {who}"


def _where(summary: pd.DataFrame, column: str) -> list[_Line]:
    """The lines in which a column has something to say."""
    if column not in summary:
        return []
    said = [bool(pd.notna(value) and value) for value in summary[column]]
    return [*summary[said].to_dict("records")] if any(said) else []


def _evidence(summary: pd.DataFrame) -> list[str]:
    """How the worst cases over all shifts are known, a line for each word."""
    words = summary["evidence"] if "evidence" in summary else pd.Series(dtype=object)
    notes = []
    for word in filter(None, EVIDENCE):
        part = summary[words == word] if len(words) else summary[:0]
        if not len(part):
            continue
        who = "" if len(part) == len(summary) else f" of {', '.join(part['model'].unique())}"
        share = ""
        if word == "sampled":
            share = f"; up to {part['could_deviate'].max():.1%} of the shifts could deviate (95 %)"
        notes.append(f"worst{who}: over all circular shifts, {word}{share}")
    return notes


def _kinds(lines: Sequence[_Line], *columns: str) -> list[list[_Line]]:
    """Lines that are alike in some columns."""
    found: dict[tuple[object, ...], list[_Line]] = {}
    for line in lines:
        found.setdefault(tuple(line[column] for column in columns), []).append(line)
    return list(found.values())


def _subjects(lines: Sequence[_Line], say: Callable[[_Line], str] = lambda line: "") -> str:
    """Which models on which suites, each model named once.

    Args:
        say: what follows a suite.
    """
    places: dict[str, dict[str, None]] = {}
    for line in lines:
        suite, group = str(line["suite"]), str(line.get("group", "all"))
        place = suite if group == "all" else f"{suite} {group}"
        places.setdefault(str(line["model"]), {})[f"{place}{say(line)}"] = None
    return ", ".join(f"{model} on {' and '.join(mine)}" for model, mine in places.items())


def _largest(lines: Sequence[_Line], column: str) -> str:
    """A number of several lines; ``up to`` where they may differ."""
    largest = number(max(float(line[column]) for line in lines), ".1e")
    return largest if len(lines) == 1 else f"up to {largest}"


def _screened(lines: Sequence[_Line]) -> list[str]:
    """Which numbers of a screened run are of which precision, and how far off the fast one is."""
    return [_screened_in(mine) for mine in _kinds(lines, "screen", "precision")]


def _screened_in(lines: Sequence[_Line]) -> str:
    fast, own = lines[0]["screen"], lines[0]["precision"]
    count = sum(int(line["evaluated"]) for line in lines)
    confirmed = count - sum(int(line["screened"]) for line in lines)
    off = number(max(float(line["screen_nmse"]) for line in lines), ".1e")
    return (
        f"screened in {fast}: {_subjects(lines)}; the worst are measured in {own}, "
        f"{confirmed} of {count} shifts in all; means and medians are of both; where both were "
        f"measured, {fast} was off by an NMSE of up to {off}"
    )


def _is_circular(line: _Line) -> bool:
    """Only circular shifts move all components alike: elsewhere ties are one reason of many."""
    return bool(line.get("transform", CIRCULAR) == CIRCULAR)


def _tied(lines: Sequence[_Line]) -> list[str]:
    """What adaptive layers make of cases in which two components have nearly equal norms."""
    notes = []
    harmless = [line for line in lines if line["flips"] == 0]
    if harmless:
        who = _subjects(harmless, lambda line: f" ({line['tied']:.0%})")
        notes.append(
            f"near-ties without an error: {who} of the cases; two polyphase components are nearly "
            "equal there, so that rounding could decide, and no shift gives an error beyond "
            "rounding"
        )
    harmful = [line for line in lines if line["flips"] != 0]
    if harmful:
        notes.append(
            f"near-ties: {_subjects(harmful, _with_and_without)}; two polyphase components are "
            "nearly equal there, and rounding may decide"
        )
    return notes


def _with_and_without(line: _Line) -> str:
    with_ties, without = (number(float(line[f"{n}_nmse"]), ".1e") for n in ("tied", "untied"))
    others = f", that of the others {without}" if line["tied"] < 1 else ""
    return f" ({line['tied']:.0%} of the cases; their mean NMSE is {with_ties}{others})"


def _is_drowned(line: _Line) -> bool:
    return not line.get("repeatability") and far_above(
        str(line["precision"]), float(line["floor_nmse"])
    )


def _is_zero(line: _Line) -> bool:
    return bool(line["eq_nmse_worst"] == float("inf"))


def _immeasurable(lines: Sequence[_Line]) -> list[str]:
    """An infinite NMSE, by its definition."""
    if not lines:
        return []
    who = _subjects(lines, lambda line: f", first in case {line['eq_nmse_worst_case']}")
    return [
        f"inf: {who}; the unshifted output is zero, and an error has nothing to be held against"
    ]


def _drowned(lines: Sequence[_Line]) -> list[str]:
    """A floor that is no rounding of an output of that size."""
    return [
        f"floor: {_subjects(mine)}; the same image, unshifted, in another place of a batch gives "
        f"an output that differs by an NMSE of {_largest(mine, 'floor_nmse')}, far more than "
        f"rounding of an output of its size ({mine[0]['precision']}): smaller errors say nothing; "
        "try --precision fp64"
        for mine in _kinds(lines, "precision")
    ]


def unrepeatable(summary: pd.DataFrame) -> list[str]:
    """Why no shift of some models stands for another, nor for itself."""
    return [_unrepeatable(m) for m in _kinds(_where(summary, "repeatability"), "repeatability")]


def _unrepeatable(lines: Sequence[_Line]) -> str:
    kind, who = lines[0]["repeatability"], _subjects(lines)
    if kind == "seeded":
        one = len(lines) == 1
        verb, whose = ("is", "its") if one else ("are", "their")
        return f"seeded: {who} {verb} random, and {whose} generators begin anew for every image"
    return (
        f"{kind}: {who}; the same image, unshifted, gives outputs that differ by an NMSE of "
        f"{_largest(lines, 'repeat_nmse')}, and nothing is known of all shifts"
    )


def _contradicted(lines: Sequence[_Line]) -> list[str]:
    """Why the worst case over all shifts is not known for some cases."""
    if not lines:
        return []
    tied = max(float(line["contradicted_near_ties"]) for line in lines)
    share = f"{'up to ' if len(lines) > 1 else ''}{tied:.0%}"
    why = f" (near-ties of adaptive layers in {share} of their shifts)" if tied > 0 else ""
    deviation = number(max(float(line["spot_deviation"]) for line in lines), ".1e")
    who = _subjects(lines, lambda line: f", {line['contradicted']} of {line['cases']} cases")
    return [
        f"contradicted by spot checks: {who}, where shifts of one class differ by up to "
        f"{deviation}{why}; --exhaustive evaluates every shift of them"
    ]
