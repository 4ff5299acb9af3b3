"""The page of a board: one self-contained file, made of entries alone."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from equibench.board.definition import Board
from equibench.board.entry import Entry
from equibench.board.findings import findings
from equibench.board.standings import Standing, standings
from equibench.reports.board.columns import Column, blocks_of, columns_of, network_name, rank
from equibench.reports.board.pair_figure import figure
from equibench.reports.html_templates import templates
from equibench.reports.tables.grid import Block

__all__ = ["Division", "divisions", "render_board", "write_board"]

_SCRIPTS = (("equibench.reports.board", "board.js"),)
_SORTING = ("equibench.reports.page", "table.js")
_STYLE = (("equibench.reports.page", "page.css"), ("equibench.reports.board", "board.css"))


@dataclass(frozen=True)
class Division:
    """Entries that are ranked together: of one suite, trained or not.

    Args:
        slug: of its table's identifier.
    """

    name: str
    suite: str
    slug: str
    columns: Sequence[Column]
    lines: Sequence[Standing]

    @property
    def blocks(self) -> list[Block]:
        """Its headings."""
        return blocks_of(self.columns)


def divisions(entries: Sequence[Entry]) -> list[Division]:
    """Trained networks first, suite by suite, the one with most entries first."""
    lines = standings(entries)
    groups: dict[tuple[str, str], list[Standing]] = {}
    for line in lines:
        groups.setdefault((line.entry.division, line.suite), []).append(line)
    order = sorted(groups, key=lambda key: (key[0], -len(groups[key]), key[1]))
    return [
        Division(
            name, suite, f"{name}-{number}", columns_of(groups[name, suite]), groups[name, suite]
        )
        for number, (name, suite) in enumerate(order)
    ]


def write_board(board: Board, entries: Sequence[Entry], out: Path) -> Path:
    """Write ``index.html`` below a folder; returns it."""
    page = render_board(board, entries)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "index.html"
    file.write_text(page, encoding="utf-8")
    return file


def render_board(board: Board, entries: Sequence[Entry]) -> str:
    """The page as text. Names are escaped: whatever they hold is shown, never run."""
    environment = templates(_template)
    environment.globals["network_name"] = network_name
    environment.globals["rank"] = rank
    environment.globals["figure"] = figure
    script = _script()
    found = findings(board, entries)
    shown = divisions(entries)
    return environment.get_template("board.html").render(
        board=board,
        count=len(entries),
        trained=sum(bool(entry.trained) for entry in entries),
        divisions=shown,
        suites=list(dict.fromkeys(division.suite for division in shown)),
        findings=[each for each in found if each.decided],
        undecided=[each for each in found if not each.decided],
        refused=[(e.label, m, why) for e in entries for m, why in e.refused.items()],
        facts=_facts(board, entries),
        style="\n".join(_text(*place) for place in _STYLE),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def _facts(board: Board, entries: Sequence[Entry]) -> dict[str, str]:
    """How all of it was measured; versions that differ are named."""

    def all_of(*values: str) -> str:
        return ", ".join(dict.fromkeys(filter(None, values)))

    versions: dict[str, list[str]] = {}
    for entry in entries:
        for name, version in entry.environment.get("versions", {}).items():
            versions.setdefault(name, []).append(str(version))
    settings = board.settings
    return {
        "circular": settings.shifts,
        "motions": ", ".join(settings.transforms),
        "seed": str(settings.seed),
        "cases": f"up to {settings.limit} of each suite" if settings.limit else "all",
        "unit of time": board.reference,
        "versions": "; ".join(f"{name} {all_of(*found)}" for name, found in versions.items()),
        "machine": all_of(*(str(e.environment.get("device_name", "")) for e in entries)),
        "commit": all_of(*(str(e.environment.get("commit") or "") for e in entries)),
    }


def _script() -> str:
    # the definitions of the page's tables, without what begins them there
    sorting = _text(*_SORTING).partition("function tables()")[0]
    return "(() => {\n" + sorting + "\n".join(_text(*place) for place in _SCRIPTS) + "})();\n"


def _template(name: str) -> str:
    package = "equibench.reports.page" if name == "tables.html" else "equibench.reports.board"
    return _text(package, name)


def _text(package: str, name: str) -> str:
    return (files(package) / "templates" / name).read_text(encoding="utf-8")
