"""Every circular shift at the price of a few: residue classes, and whether they are classes.

A network of total stride S gives all shifts that are equal modulo S the same error, where its
boundaries are circular and S divides the image. One shift of each class then stands for them all,
and the worst of S² is the worst of H·W.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from equibench.evidence.certificate import Proof
from equibench.evidence.stride_probing import Probe
from equibench.foundation.rounding import allowance
from equibench.foundation.seeds import generator
from equibench.measurement.measurement import Measured, Shortcut
from equibench.measurement.settings import Settings
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import All, ShiftPlan, Shifts
from equibench.transforms.transform import AXES, Size

__all__ = ["Residues", "by_class", "settled"]


@dataclass(frozen=True)
class Residues(ShiftPlan):
    """One shift for each class modulo ``stride``, then ``spots`` others of any class, at random."""

    stride: Size
    spots: int

    def shifts(self, seed: int, suite: str, case: str, size: Size) -> Shifts:
        if any(n % s for n, s in zip(size, self.stride, strict=True)):
            return All().shifts(seed, suite, case, size)  # no classes on images of this size
        classes = np.indices(self.stride).reshape(len(size), -1).T
        random = generator("spots", seed, suite, case)
        turns = [n // s for n, s in zip(size, self.stride, strict=True)]
        number = self.spots if max(turns) > 1 else 0
        chosen = random.integers(len(classes), size=number)
        # any turn but the first, which is the class's own representative
        turn = random.integers(1, prod(turns), size=number) if number else np.zeros(0, np.int64)
        moves = np.stack(np.unravel_index(turn, turns), axis=1) * self.stride
        every: Shifts = np.concatenate((classes, classes[chosen] + moves)).astype(np.int64)
        return every

    def count(self, axes: int = 2) -> int:
        return prod(self.stride) + self.spots

    def checks(self, shifts: Shifts) -> NDArray[np.int64] | None:
        """The spot checks, and the representatives of their classes."""
        number = prod(self.stride)
        spots = np.arange(number, len(shifts))
        if len(spots) != self.spots:
            return None
        same = np.ravel_multi_index(tuple((shifts[spots] % self.stride).T), self.stride)
        checks: NDArray[np.int64] = np.unique(np.concatenate((same, spots)))
        return checks

    def covers(self, size: Size) -> int:
        if any(n % s for n, s in zip(size, self.stride, strict=True)):
            return 1
        return prod(size) // prod(self.stride)

    @property
    def evidence(self) -> str:
        return "sampled"


def by_class(
    rows: Callable[..., Measured],
    settings: Settings,
    found: Probe,
    proof: Proof | None,
    shortcut: Callable[[], Shortcut] | None,
    cases: Sequence[str],
) -> Measured:
    """One row for each residue class of shifts, with the evidence that it stands for all.

    Where spot checks contradict a case's classes, all its shifts are measured if settings say so.

    Args:
        rows: measures cases under settings, by a shortcut where one is given.
        found: the total stride.
        proof: of it, where there is one.
        shortcut: for one shift of each class; spot checks never take it.
    """
    plan = Residues(found.classes, settings.spots)
    measured = rows(settings.under(Circular(plan)), cases, shortcut)
    if measured.rows.empty:
        return measured
    proved: list[str] = []
    if proof is not None and proof.covers(found.classes):
        proved = [case for case, size in measured.sizes.items() if size == proof.size]
    table = settled(measured.rows, plan, proved, tie=bool(proof and proof.conditions))
    failed = list(table.loc[table["evidence"] == "", "case"].unique())
    if failed and settings.exhaustive:
        whole = rows(settings.under(Circular(All())), failed).rows
        whole["spot_deviation"] = whole["case"].map(table.groupby("case")["spot_deviation"].first())
        table = pd.concat([table[table["evidence"] != ""], whole])
    return replace(measured, rows=table.reset_index(drop=True))


def settled(
    rows: pd.DataFrame, plan: Residues, proved: Container[str] = (), tie: bool = False
) -> pd.DataFrame:
    """Rows of classes, with the evidence for each case: what its spot checks say, or a proof.

    Two shifts of one class have errors e and e' whose outputs differ by an NMSE of at least
    (√e − √e')²: that is the deviation, and it must be rounding. Where it is not, there is no
    evidence, whatever was proved.

    Args:
        proved: cases of a size at which the classes were proved.
        tie: they were proved for images without near-ties, which must then have been counted.
    """
    number, axes = prod(plan.stride), AXES[-len(plan.stride) :]
    parts = []
    for _, part in rows.groupby("case", sort=False):
        # what was screened was not all measured alike
        screened = bool((part["precision"] != part["precision"].iloc[0]).any())
        if part["covers"].iloc[0] == 1:  # every shift was evaluated
            parts.append(part.assign(evidence="sampled" if screened else "enumerated"))
            continue
        classes, spots = part[part["draw"] <= number], part[part["draw"] > number]
        residues = spots[list(axes)].to_numpy(np.int64) % plan.stride
        same = np.ravel_multi_index(tuple(residues.T), plan.stride)
        theirs = classes["eq_nmse"].to_numpy()[1:][same]
        gaps = (np.sqrt(spots["eq_nmse"].to_numpy()) - np.sqrt(theirs)) ** 2
        deviation = float(gaps.max()) if len(gaps) else 0.0
        first = part.iloc[0]
        limit = allowance(str(first["precision"]), float(first["floor_nmse"]))
        word = ""
        if deviation <= limit:
            untied = not tie or bool((classes["near_ties"] == 0).all())
            known = first["case"] in proved and untied and not screened
            word = "proved" if known else "sampled"
        found: dict[str, Any] = {"spot_deviation": deviation, "spots": len(spots), "evidence": word}
        parts.append(classes.assign(**found))
    return pd.concat(parts)
