"""Every circular shift at the price of a few: residue classes, and whether they are classes.

A network of total stride S gives all shifts that are equal modulo S the same error, where its
boundaries are circular and S divides the image. One shift of each class then stands for them all,
and the worst of S² is the worst of H·W.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from equibench.evidence.stride_probing import Pair
from equibench.foundation.rounding import allowance
from equibench.foundation.seeds import generator
from equibench.transforms.shift_plans import All, ShiftPlan, Shifts

__all__ = ["Residues", "settled"]


@dataclass(frozen=True)
class Residues(ShiftPlan):
    """One shift for each class modulo ``stride``, then ``spots`` others of any class, at random."""

    stride: Pair
    spots: int

    def shifts(self, seed: int, suite: str, case: str, size: Pair) -> Shifts:
        if any(n % s for n, s in zip(size, self.stride, strict=True)):
            return All().shifts(seed, suite, case, size)  # no classes on images of this size
        classes = np.indices(self.stride).reshape(2, -1).T
        random = generator("spots", seed, suite, case)
        turns = [n // s for n, s in zip(size, self.stride, strict=True)]
        number = self.spots if max(turns) > 1 else 0
        chosen = random.integers(len(classes), size=number)
        # any turn but the first, which is the class's own representative
        turn = random.integers(1, turns[0] * turns[1], size=number)
        moves = np.stack((turn // turns[1], turn % turns[1]), axis=1) * self.stride
        every: Shifts = np.concatenate((classes, classes[chosen] + moves)).astype(np.int64)
        return every

    def count(self) -> int:
        return self.stride[0] * self.stride[1] + self.spots

    def covers(self, size: Pair) -> int:
        if any(n % s for n, s in zip(size, self.stride, strict=True)):
            return 1
        return size[0] * size[1] // (self.stride[0] * self.stride[1])

    @property
    def evidence(self) -> str:
        return "sampled"


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
    number = plan.stride[0] * plan.stride[1]
    parts = []
    for _, part in rows.groupby("case", sort=False):
        if part["covers"].iloc[0] == 1:  # every shift was evaluated
            parts.append(part.assign(evidence="enumerated"))
            continue
        classes, spots = part[part["draw"] <= number], part[part["draw"] > number]
        same = (spots["dy"] % plan.stride[0]) * plan.stride[1] + spots["dx"] % plan.stride[1]
        theirs = classes["eq_nmse"].to_numpy()[1:][same.to_numpy()]
        gaps = (np.sqrt(spots["eq_nmse"].to_numpy()) - np.sqrt(theirs)) ** 2
        deviation = float(gaps.max()) if len(gaps) else 0.0
        first = part.iloc[0]
        limit = allowance(str(first["precision"]), float(first["floor_nmse"]))
        word = ""
        if deviation <= limit:
            untied = not tie or bool((classes["near_ties"] == 0).all())
            word = "proved" if untied and first["case"] in proved else "sampled"
        found: dict[str, Any] = {"spot_deviation": deviation, "spots": len(spots), "evidence": word}
        parts.append(classes.assign(**found))
    return pd.concat(parts)
