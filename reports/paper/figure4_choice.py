"""Which case, shift and networks Figure 4 of the paper shows."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from equibench.errors import UsageError
from equibench.reports.findings.published_results import APS, original
from equibench.reports.findings.run_data import RunData
from equibench.reports.paper.measured_tables import Measured, Setting, measurements

__all__ = ["Asked", "Choice", "choose"]


@dataclass(frozen=True)
class Asked:
    """What a user wants to see; the rest is chosen from the run.

    Args:
        shift: (dy, dx) in pixels.
        models: two labels; by default the paper's baseline and a network with APS.
    """

    suite: str | None = None
    case: str | None = None
    shift: tuple[int, int] | None = None
    models: tuple[str, str] | None = None

    @classmethod
    def parse(
        cls,
        suite: str | None = None,
        case: str | None = None,
        shift: str | None = None,
        models: Sequence[str] | None = None,
    ) -> "Asked":
        """Read what was typed: a shift is ``dy,dx``.

        Raises:
            UsageError: another shift, or other than two models.
        """
        match = re.fullmatch(r"\s*(-?\d+)\s*,\s*(-?\d+)\s*", shift or "0,0")
        if not match:
            raise UsageError(f"--shift {shift!r} is not DY,DX: write --shift 8,5")
        if models and len(models) != 2:
            raise UsageError("--figures compares two networks: give --model twice, or not at all")
        return cls(
            suite,
            case,
            (int(match[1]), int(match[2])) if shift else None,
            (models[0], models[1]) if models else None,
        )


@dataclass(frozen=True)
class Choice:
    """One case, one shift (dy, dx) in pixels and two models, by their labels in the run."""

    suite: str
    case: str
    shift: tuple[int, int]
    models: tuple[str, str]


def choose(data: RunData, asked: Asked) -> Choice:
    """Fill in what was not asked for: where the first model's error is the worst.

    Raises:
        UsageError: the run has no such model, suite or case, or none with a ground truth.
    """
    rows = data.shifted
    if rows.empty or "psnr" not in rows:
        raise UsageError("figure 4 needs measurements: this run has none")
    rows = rows[rows["psnr"].notna() & np.isfinite(rows["eq_nmse"].astype(float))]
    rows = _only(rows, "suite", asked.suite)
    pairs = _pairs(data, rows, asked.models)
    rows = pd.concat([rows[(rows["model"] == p[0]) & (rows["suite"] == s)] for s, p in pairs])
    rows = _only(rows, "case", asked.case)
    if asked.shift:  # one that was not measured is shown on the case that is worst under another
        same = rows[(rows["dy"] == asked.shift[0]) & (rows["dx"] == asked.shift[1])]
        rows = rows if same.empty else same
    worst = rows.iloc[int(rows["eq_nmse"].to_numpy(dtype=np.float64).argmax())]
    return Choice(
        suite=str(worst["suite"]),
        case=str(worst["case"]),
        shift=asked.shift or (int(worst["dy"]), int(worst["dx"])),
        models=next(p for s, p in pairs if (s, p[0]) == (worst["suite"], worst["model"])),
    )


def _only(rows: pd.DataFrame, column: str, wanted: str | None) -> pd.DataFrame:
    found = rows if wanted is None else rows[rows[column] == wanted]
    if found.empty:
        known = ", ".join(dict.fromkeys(rows[column].astype(str))) or "none"
        what = column if wanted is None else f"{column} {wanted!r}"
        raise UsageError(
            f"figure 4: this run has no {what} with a ground truth; there are: {known}"
        )
    return found


def _pairs(
    data: RunData, rows: pd.DataFrame, models: tuple[str, str] | None
) -> list[tuple[str, tuple[str, str]]]:
    """Suites with a ground truth, each with two models that were measured on it."""
    there = rows.groupby("suite", sort=False)["model"].agg(set).to_dict()
    if models:
        for label in models:
            _only(rows, "model", label)
        pairs = [(str(suite), models) for suite in there]
    else:
        pairs = list(_papers_pairs(data))
    found = [(suite, pair) for suite, pair in pairs if set(pair) <= there.get(suite, set())]
    if not found:
        who = " and ".join(models or ()) or "the paper's baseline and an APS network trained alike"
        raise UsageError(
            f"figure 4: {who} were not measured together on a suite with a ground truth: "
            "name two others with --model"
        )
    return found


def _papers_pairs(data: RunData) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each baseline, with the first of the APS family in the same setting, in distribution."""
    settings: dict[tuple[str, Setting], list[Measured]] = {}
    for each in measurements("", data):
        if each.domain in ("", original(each.setting.suite)):
            settings.setdefault((each.suite, each.setting), []).append(each)
    for (suite, _), networks in settings.items():
        family = [each.label for name in APS for each in networks if each.name == name]
        for each in networks:
            if each.name == "Baseline" and family:
                yield suite, (each.label, family[0])
