"""What stands under a table: how its worst cases are known, and what else its numbers need."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from equibench.evidence.words import EVIDENCE
from equibench.foundation.rounding import far_above
from equibench.reports.findings.run_data import UNTRAINED
from equibench.reports.tables.values import number
from equibench.transforms.transform import CIRCULAR

__all__ = ["notes_of", "padded", "unrepeatable"]


def notes_of(summary: pd.DataFrame, weights: Mapping[str, str]) -> list[str]:
    """A line for each thing without which the numbers would be misread.

    Args:
        weights: by model.
    """
    models = list(summary["model"].unique())
    untrained = [model for model in models if weights.get(model) == UNTRAINED]
    notes = []
    if untrained:
        who = "all networks" if len(untrained) == len(models) else ", ".join(untrained)
        notes.append(f"{UNTRAINED}: {who} (networks start from a fixed seed)")
    notes += _evidence(summary)
    notes += [_screened(line) for line in _where(summary, "screened")]
    notes += [_contradicted(line) for line in _where(summary, "contradicted")]
    notes += [_tied(line) for line in _where(summary, "tied") if _is_circular(line)]
    notes += [_immeasurable(line) for line in _where(summary, "eq_nmse_worst") if _is_zero(line)]
    notes += [_drowned(line) for line in _where(summary, "floor_nmse") if _is_drowned(line)]
    notes += [unrepeatable(line) for line in _where(summary, "repeatability")]
    notes += filter(None, [padded(summary)])
    resized = [(line["resized"], line["model"]) for line in _where(summary, "resized")]
    for how in dict.fromkeys(how for how, _ in resized):
        who = ", ".join(dict.fromkeys(model for mine, model in resized if mine == how))
        grid = f"output resized to the grid of the input ({how})"
        if how.startswith("1/"):
            grid = f"compared on the output's grid, {how} of the input's, at shifts that it divides"
        notes.append(f"{grid}: {who}")
    return notes


def padded(summary: pd.DataFrame) -> str:
    """Which models were measured with padding around them; empty where none was."""
    if "padded" not in summary or not summary["padded"].any():
        return ""
    who = ", ".join(summary.loc[summary["padded"], "model"].unique())
    return f"padded and cropped back, which changes equivariance: {who}"


def _where(summary: pd.DataFrame, column: str) -> list[Mapping[Any, Any]]:
    """The lines in which a column has something to say."""
    lines = summary.to_dict("records") if column in summary else []
    return [line for line in lines if line.get(column) and pd.notna(line[column])]


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


def _screened(line: Mapping[Any, Any]) -> str:
    """Which numbers of a screened run are of which precision, and how far off the fast one is."""
    count, own = int(line["evaluated"]), line["precision"]
    off = number(float(line["screen_nmse"]), ".1e")
    fast, confirmed = line["screen"], count - int(line["screened"])
    return (
        f"screened in {fast}: {line['model']} on {line['suite']}; the worst are measured in {own}, "
        f"{confirmed} of {count} shifts in all; means and medians are of both; where both were "
        f"measured, {fast} was off by an NMSE of up to {off}"
    )


def _is_circular(line: Mapping[Any, Any]) -> bool:
    """Only circular shifts move all components alike: elsewhere ties are one reason of many."""
    return bool(line.get("transform", CIRCULAR) == CIRCULAR)


def _tied(line: Mapping[Any, Any]) -> str:
    """What adaptive layers make of cases in which two components have nearly equal norms."""
    with_ties, without = (number(float(line[f"{n}_nmse"]), ".1e") for n in ("tied", "untied"))
    others = f", of the others {without}" if line["tied"] < 1 else ""
    return (
        f"near-ties: {line['model']} on {line['suite']}, {line['tied']:.0%} of the cases; their "
        f"mean NMSE is {with_ties}{others}"
    )


def _is_drowned(line: Mapping[Any, Any]) -> bool:
    return not line.get("repeatability") and far_above(
        str(line["precision"]), float(line["floor_nmse"])
    )


def _is_zero(line: Mapping[Any, Any]) -> bool:
    return bool(line["eq_nmse_worst"] == float("inf"))


def _immeasurable(line: Mapping[Any, Any]) -> str:
    """An infinite NMSE, by its definition."""
    return (
        f"inf: {line['model']} on {line['suite']}, first in case {line['eq_nmse_worst_case']}; the "
        "unshifted output is zero, and an error has nothing to be held against"
    )


def _drowned(line: Mapping[Any, Any]) -> str:
    """A floor that is no rounding of an output of that size."""
    floor = number(float(line["floor_nmse"]), ".1e")
    return (
        f"floor: {line['model']} on {line['suite']}; the same image, unshifted, in another place "
        f"of a batch gives an output that differs by an NMSE of {floor}, far more than rounding "
        f"of an output of its size ({line['precision']}): smaller errors say nothing; try "
        "--precision fp64"
    )


def unrepeatable(line: Mapping[Any, Any]) -> str:
    """Why no shift of a model stands for another, nor for itself."""
    subset = f"{line['model']} on {line['suite']}"
    if line["repeatability"] == "seeded":
        return f"seeded: {subset} is random, and its generators begin anew for every image"
    differ = number(float(line["repeat_nmse"]), ".1e")
    return (
        f"{line['repeatability']}: {subset}; the same image, unshifted, gives outputs that differ "
        f"by an NMSE of {differ}, and nothing is known of all shifts"
    )


def _contradicted(line: Mapping[Any, Any]) -> str:
    """Why the worst case over all shifts is not known for some cases."""
    tied = float(line["contradicted_near_ties"])
    why = f" (near-ties of adaptive layers in {tied:.0%} of their shifts)" if tied > 0 else ""
    deviation = number(float(line["spot_deviation"]), ".1e")
    cases = f"{line['contradicted']} of {line['cases']} cases"
    return (
        f"contradicted by spot checks: {line['model']} on {line['suite']}, {cases}, "
        f"where shifts of one class differ by up to {deviation}{why}; --exhaustive evaluates "
        "every shift of them"
    )
