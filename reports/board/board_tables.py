"""The tables of a board as Markdown and CSV, and its findings as text."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from equibench.board.definition import Board
from equibench.board.entry import Entry
from equibench.board.findings import Finding, findings
from equibench.reports.board.board_page import Division, divisions
from equibench.reports.board.columns import rank
from equibench.reports.tables.grid import Cell
from equibench.reports.tables.writers import Heading, Table, markdown

__all__ = ["write_board_tables"]


def write_board_tables(board: Board, entries: Sequence[Entry], folder: Path) -> list[Path]:
    """Write ``trained.md``, ``untrained.md``, ``standings.csv`` and ``findings.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = divisions(entries)
    texts = {
        f"{name}.md": "\n".join(_division(d) for d in shown if d.name == name)
        for name in dict.fromkeys(division.name for division in shown)
    }
    texts["standings.csv"] = pd.DataFrame(
        [_record(line, d) for d in shown for line in _records(d)]
    ).to_csv(index=False)
    texts["findings.md"] = _findings(findings(board, entries))
    written = []
    for name, text in texts.items():
        written.append(folder / name)
        written[-1].write_text(text, encoding="utf-8")
    return written


def _division(division: Division) -> str:
    headings = [Heading("rank", key=True), Heading("network", left=True, key=True)]
    headings += [Heading(c.name, c.block, left=c.left) for c in division.columns]
    lines = [
        [rank(line), Cell(line.entry.label), *(c.cell(line) for c in division.columns)]
        for line in division.lines
    ]
    title = f"## {division.name.capitalize()}, on {division.suite}"
    return f"{title}\n\n{markdown(Table(headings, lines))}"


def _records(division: Division) -> list[dict[str, object]]:
    found = []
    for line in division.lines:
        record: dict[str, object] = {
            "network": line.entry.label, "rank": line.rank or None, "of": line.of,
            "trained": line.entry.trained,
        }  # fmt: skip
        for motion, figures in line.figures.items():
            record |= {
                f"{motion} mean": figures.mean,
                f"{motion} low": figures.within.low,
                f"{motion} high": figures.within.high,
                f"{motion} worst": figures.worst,
                f"{motion} worst at": figures.at,
                f"{motion} constant": figures.constant,
            }
        record |= line.quality
        record |= {name: line.facts.get(name) for name in ("stride", "evidence", "padding", "time")}
        record["parameters"] = line.entry.identity.get("parameters")
        record["best treatment"] = line.best.name if line.best else ""
        record["worst error divided by"] = line.best.worst if line.best else None
        found.append(record)
    return found


def _record(line: dict[str, object], division: Division) -> dict[str, object]:
    return {"division": division.name, "suite": division.suite, **line}


def _findings(found: Sequence[Finding]) -> str:
    decided = [f"* {each.sentence}" for each in found if each.decided]
    open_ = [f"* {each.sentence}" for each in found if not each.decided]
    parts = ["# Findings", "", *decided]
    return "\n".join([*parts, "", "## What the numbers do not decide", "", *open_]) + "\n"
