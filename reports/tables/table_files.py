"""The tables of a run as files: CSV, Markdown and LaTeX, under names that do not change."""

from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path

import pandas as pd

from equibench.reports.findings.border_profile import DISTANCES, border_profiles
from equibench.reports.findings.leaderboard import leaderboard, subset_name
from equibench.reports.findings.power_of_two import by_power_of_two
from equibench.reports.findings.run_data import RunData
from equibench.reports.tables.grid import Cell
from equibench.reports.tables.summary_table import summary_table
from equibench.reports.tables.values import NONE, number
from equibench.reports.tables.writers import Heading, Table, latex, markdown

__all__ = ["TABLES", "write_tables"]

_EMPTY = "No measurements.\n"


def write_tables(data: RunData, folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Write all tables, or only some, in every format."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in only or TABLES:
        for suffix, text in TABLES[name](data).items():
            written.append(folder / f"{name}.{suffix}")
            written[-1].write_text(text, encoding="utf-8")
    return written


def _summary(data: RunData) -> dict[str, str]:
    return {
        "csv": summary_table(data.summary, format="csv"),
        "md": summary_table(data.summary, weights=data.weights),
        "tex": summary_table(data.summary, format="latex", weights=data.weights),
    }


def _leaderboard(data: RunData) -> dict[str, str]:
    """Rank and mean NMSE of every network on every suite."""
    if data.summary.empty:
        return {"csv": "", "md": _EMPTY, "tex": _EMPTY}
    standings = leaderboard({"": data})
    subsets = list(dict.fromkeys(subset for s in standings for subset in s.scores))
    lines, records = [], []
    for standing in standings:
        record: dict[str, object] = {"network": standing.network}
        cells = [Cell(standing.network)]
        for subset in subsets:
            score = standing.scores.get(subset)
            record[f"{subset} rank"] = score.rank if score else None
            record[f"{subset} eq_nmse_mean"] = score.error if score else None
            if score is None:
                cells += [Cell(NONE), Cell(NONE)]
                continue
            first = score.rank == 1
            cells += [Cell(str(score.rank), best=first)]
            cells += [Cell(number(score.error, ".1e"), best=first)]
        record["mean rank"] = standing.mean_rank
        lines.append([*cells, Cell(f"{standing.mean_rank:.2f}")])
        records.append(record)
    headings = [Heading("network", left=True, key=True)]
    headings += [Heading(text, subset) for subset in subsets for text in ("rank", "NMSE ↓")]
    table = Table([*headings, Heading("mean rank")], lines)
    return _written(table, pd.DataFrame(records))


def _octaves(data: RunData) -> dict[str, str]:
    """Mean NMSE of the shifts of which both components are multiples of 1, 2, 4, …"""
    data = data.circular
    if not data.suites:
        return {"csv": "", "md": _EMPTY, "tex": _EMPTY}
    found = by_power_of_two(data.shifted, data.total_stride)
    both = found[found["axis"] == "both"]
    powers = sorted(both["power"].unique())
    lines = []
    for (suite, group, model), part in both.groupby(["suite", "group", "model"], sort=False):
        means = part.set_index("power")["mean"]
        cells = [number(float(means[p]), ".1e") if p in means else NONE for p in powers]
        subset = subset_name(str(suite), str(group))
        lines.append([Cell(subset), Cell(str(model)), *map(Cell, cells)])
    headings = [Heading(key, left=True, key=True) for key in ("suite", "model")]
    above = "mean NMSE ↓ of shifts by multiples of"
    return _written(Table([*headings, *(Heading(str(p), above) for p in powers)], lines), found)


def _border(data: RunData) -> dict[str, str]:
    """Of crops, the error by distance to the border: what is boundary, and what is sampling."""
    profiles = border_profiles(data.shifted)
    if not profiles:
        return {}
    lines, records = [], []
    for profile in profiles:
        place = subset_name(profile.suite, profile.group)
        near = [profile.at(distance) for distance in DISTANCES]
        shares = [f"{share:.0%}" for share in (profile.boundary, profile.sampling)]
        values = [NONE if isnan(value) else number(value, ".1e") for value in near]
        texts = [place, profile.model, *values, number(profile.inside, ".1e"), profile.reached]
        lines.append([Cell(text) for text in [*texts, *shares]])
        for distance, error in enumerate(profile.errors):
            record = {"model": profile.model, "suite": profile.suite, "group": profile.group}
            records.append(record | {"distance": distance, "nmse": error})
    headings = [Heading(key, left=True, key=True) for key in ("suite", "model")]
    headings += [Heading(f"{distance} px", "error by distance ↓") for distance in DISTANCES]
    headings += [Heading("inside"), Heading("reach [px]"), Heading("boundary"), Heading("sampling")]
    return _written(Table(headings, lines), pd.DataFrame(records))


def _written(table: Table, numbers: pd.DataFrame) -> dict[str, str]:
    return {"csv": numbers.to_csv(index=False), "md": markdown(table), "tex": latex(table)}


TABLES: dict[str, Callable[[RunData], dict[str, str]]] = {
    "summary": _summary,
    "leaderboard": _leaderboard,
    "power-of-two": _octaves,
    "border": _border,
}
"""What makes each table, by the stem of its files: text by suffix."""
