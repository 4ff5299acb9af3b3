"""The words for what is known of a worst case over all shifts, and what old folders said of it."""

from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from equibench.transforms.transform import CIRCULAR

__all__ = ["EVIDENCE", "Evidence", "could_deviate", "rows_of_today", "summary_of_today", "weakest"]

Evidence = Literal["enumerated", "proved", "sampled", ""]
"""Every shift passed through the network; residue classes whose equality was proved for it at this
size; residue classes that spot checks support; nothing."""

EVIDENCE: tuple[Evidence, ...] = get_args(Evidence)

_RISK = 0.05

_OLD_SPOTS = 6
"""Spot checks of a case, before their number was written down."""


_COLUMNS = ("evidence", "spots", "repeatability", "repeat_nmse", "transform", "element")


def could_deviate(checks: int) -> float:
    """The largest share of shifts that can deviate, at 95 %, where so many checks found none."""
    return float(1 - _RISK ** (1 / checks)) if checks else 1.0


def weakest(words: Iterable[str]) -> Evidence:
    """What can be said of all where of each one word can be said."""
    found = set(words)
    if not found or "" in found:
        return ""
    return next(word for word in reversed(EVIDENCE) if word in found)


def rows_of_today(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the columns of today, where a folder said ``exact``, less or nothing."""
    missing = [name for name in _COLUMNS if name not in rows]
    if not missing:
        return rows
    by_class = rows["covers"] > 1
    found: dict[str, Any] = {
        "evidence": _word(rows, by_class),
        "spots": np.where(by_class, _OLD_SPOTS, 0),
        "repeatability": "",
        "repeat_nmse": np.nan,
        "transform": CIRCULAR,
        "element": "",
    }
    return rows.drop(columns="exact", errors="ignore").assign(**{n: found[n] for n in missing})


def summary_of_today(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary with the columns of today, where a folder said ``exact`` or nothing."""
    if "transform" not in summary:
        summary = summary.assign(transform=CIRCULAR)
    if "evidence" in summary:
        # a file cannot tell what is empty from what is not
        text = [name for name in ("evidence", "repeatability", "resized") if name in summary]
        return summary.assign(**summary[text].astype(object).fillna("").astype("str"))
    by_class = summary["evaluated"] < summary["shifts"]
    word = _word(summary, by_class)
    spots = np.where(by_class, _OLD_SPOTS * summary["cases"], 0)
    found: dict[str, Any] = {
        "evidence": word,
        "spots": spots,
        "could_deviate": np.where(word == "sampled", [*map(could_deviate, spots)], np.nan),
        "repeatability": "",
        "repeat_nmse": np.nan,
    }
    names = {"inexact": "contradicted", "inexact_near_ties": "contradicted_near_ties"}
    return summary.drop(columns="exact", errors="ignore").assign(**found).rename(columns=names)


def _word(table: pd.DataFrame, by_class: "pd.Series[bool]") -> NDArray[np.object_]:
    """What ``exact`` meant: every shift, or classes that spot checks supported."""
    if "exact" not in table:
        return np.full(len(table), "", dtype=object)
    exact = table["exact"].astype(bool)
    return np.select([exact & by_class, exact], ["sampled", "enumerated"], "").astype(object)
