"""One self-contained page about one run or several: nothing is loaded from anywhere.

What stands in tables is in the HTML, and can be read without JavaScript; what charts draw is JSON.
The page's own script is named by its hash, so that no other ever runs on it.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from equibench.reports.findings.leaderboard import leaderboard, network_names
from equibench.reports.findings.published_results import CITATION
from equibench.reports.findings.run_data import RunData
from equibench.reports.html_templates import templates
from equibench.reports.page.chart_data import embedded, payload
from equibench.reports.page.glossary import glossary
from equibench.reports.page.plain_words import cards, images, sentences
from equibench.reports.page.provenance import command, facts
from equibench.reports.page.summary_sheet import sheet
from equibench.reports.page.worst_cases import Gallery, worst_cases
from equibench.reports.paper.side_by_side import paper_tables
from equibench.reports.tables.notes import notes_of, padded, unrepeatable
from equibench.reports.tables.values import number, of_labels

__all__ = ["render", "write_page"]

_FAILURES = 50
_PATIENTS, _PHOTOS = ("mri-sample", "ct-sample"), "photo-sample"
_TITLES = {
    "one": "How robust is this network to shifts?",
    "many": "Which network is most robust to shifts?",
}
_SCRIPTS = (
    "core.js",
    "chart.js",
    "table.js",
    "dots.js",
    "overview.js",
    "shifts.js",
    "distribution.js",
    "scatter.js",
    "gallery.js",
    "main.js",
)


def write_page(runs: Mapping[str, RunData], out: Path, image_seconds: float) -> Path:
    """Write ``index.html`` below ``out``, with all runs side by side.

    Args:
        runs: by name.
        image_seconds: shared by the runs; 0 leaves the images of worst cases out.
    """
    share = image_seconds / len(runs)
    galleries = [worst_cases(n, d, share) for n, d in runs.items()] if image_seconds > 0 else []
    page = render(runs, galleries)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "index.html"
    file.write_text(page, encoding="utf-8")
    return file


def render(runs: Mapping[str, RunData], galleries: Sequence[Gallery] = ()) -> str:
    """The page as text. Names are escaped: whatever they hold is shown, never run."""
    environment = templates(_template)
    environment.filters["number"] = number
    return environment.get_template("page.html").render(_context(runs, galleries))


def _template(name: str) -> str:
    return (files("equibench.reports.page") / "templates" / name).read_text(encoding="utf-8")


def _context(runs: Mapping[str, RunData], galleries: Sequence[Gallery]) -> dict[str, Any]:
    pictures = [asdict(picture) for gallery in galleries for picture in gallery.pictures]
    scope = _scope(runs)
    script = "(() => {\n" + "\n".join(map(_template, _SCRIPTS)) + "})();\n"
    charts = payload(runs)
    return {
        "runs": list(runs),
        "several": len(runs) > 1,
        "cards": cards(runs),
        "sentences": sentences(runs),
        "scope": scope,
        "titles": _TITLES,
        "title": _TITLES["one" if scope["networks"] == 1 else "many"],
        "charted": charts["metrics"][0]["title"] if charts["metrics"] else "",
        "norms": _norms(runs),
        "intervals": _intervals(runs),
        "board": leaderboard(runs),
        "sheet": sheet(runs),
        "covering": any(data.covering for data in runs.values()),
        "notes": [note for run, data in runs.items() for note in _notes(run, data, runs)],
        "notices": [notice for run, data in runs.items() for notice in _notices(run, data, runs)],
        "paper": paper_tables(runs),
        "citation": CITATION,
        "pictures": bool(pictures),
        "picture_notes": [note for gallery in galleries for note in gallery.notes],
        "failures": [(n, f) for n, data in runs.items() for f in data.failures][:_FAILURES],
        "failure_count": sum(len(data.failures) for data in runs.values()),
        "provenance": {name: _provenance(data) for name, data in runs.items()},
        "patients": _labels(runs, _PATIENTS),
        "photos": _labels(runs, (_PHOTOS,)),
        "glossary": glossary([data.summary for data in runs.values()]),
        "style": _template("page.css"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        "payload": embedded(charts | {"pictures": pictures}),
    }


def _scope(runs: Mapping[str, RunData]) -> dict[str, Any]:
    """On how much the whole page speaks; a network may be several models, each trained anew."""
    rows = sum(len(data.shifted) for data in runs.values())
    shifted = sum(len(data.circular.shifted) for data in runs.values())
    return {
        "networks": sum(len(set(network_names(data).values())) for data in runs.values()),
        "models": sum(len(data.models) for data in runs.values()),
        "suites": len({suite for data in runs.values() for suite in data.suites}),
        "images": images(shifted, rows - shifted),
    }


def _intervals(runs: Mapping[str, RunData]) -> bool:
    """Whether any mean has one."""
    bounds = (data.summary.get("eq_nmse_ci_low") for data in runs.values())
    return any(low is not None and low.notna().any() for low in bounds)


def _norms(runs: Mapping[str, RunData]) -> bool:
    """Whether any output is of numbers, whose change is a share of their norm."""
    lines = [line for data in runs.values() for line in data.summary.to_dict("records")]
    return not all(map(of_labels, lines))


def _notes(run: str, data: RunData, runs: Mapping[str, RunData]) -> list[str]:
    """What stands under tables, but for what the page begins with."""
    if data.summary.empty:
        return []
    who = f"{run}: " if len(runs) > 1 else ""
    summary = _named(data).assign(repeatability="", padded=False)
    return [who + note for note in notes_of(summary, {})]


def _notices(run: str, data: RunData, runs: Mapping[str, RunData]) -> list[str]:
    """What a reader has to know before any number."""
    who = f"{run}: " if len(runs) > 1 else ""
    found = []
    if data.shortfall:
        found.append(f"{who}This run {data.shortfall}: the numbers are of what is there.")
    if data.untrained:
        untrained = [model for model in data.models if model in data.untrained]
        names = "all networks" if set(data.models) <= data.untrained else ", ".join(untrained)
        found.append(
            f"{who}Untrained: {names}. An untrained network starts from a fixed seed: its error "
            "shows what the architecture does, not what training makes of it."
        )
    said = unrepeatable(_named(data)) + list(filter(None, [padded(_named(data))]))
    return found + [f"{who}{line[:1].upper()}{line[1:]}." for line in said]


def _named(data: RunData) -> pd.DataFrame:
    """The summary with models as the page calls them."""
    if data.summary.empty:
        return data.summary
    return data.summary.assign(model=data.summary["model"].map(network_names(data)))


def _provenance(data: RunData) -> dict[str, Any]:
    return {
        "facts": facts(data.manifest),
        "models": data.manifest.get("models", {}),
        "command": command(data.manifest.get("configuration", {})),
    }


def _labels(runs: Mapping[str, RunData], names: Sequence[str]) -> list[str]:
    """The suites of all runs that are registered under one of these names."""
    labels = (
        label for data in runs.values() for label in data.suites if data.suite_names[label] in names
    )
    return list(dict.fromkeys(labels))
