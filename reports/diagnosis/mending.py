"""Treatments of one network side by side: as text, as a page and as JSON."""

import json
from html import escape
from math import isnan
from pathlib import Path

from tabulate import tabulate

from equibench.foundation.atomic_files import replacing
from equibench.mending.comparison import Comparison, Trial

__all__ = ["mending_files", "mending_text"]

_HEAD = ("treatment", "layers", "mean NMSE", "worst NMSE", "ΔPSNR/dB", "time", "exact", "retrain")

_PAGE = """<!doctype html>
<meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem }}
table {{ border-collapse: collapse }}
th, td {{ padding: .3rem .8rem; border-bottom: 1px solid #ccc; text-align: left }}
</style>
<h1>{title}</h1>
<p><strong>{sentence}</strong></p>
{table}
{refused}
<p>Errors over {shifts} shifts of each image. Time is that of a forward pass over the untreated
network's, in one run.</p>
"""


def mending_text(found: Comparison) -> str:
    """A table, what was refused, and the recommendation."""
    table = tabulate(_lines(found), headers=_HEAD, disable_numparse=True)
    refused = [f"mend={t.treatment} is refused: {t.refused}" for t in found.trials if t.refused]
    parts = [f"{found.model} on {found.suite}, {found.shifts} shifts an image", table, *refused]
    return "\n\n".join([*parts, found.sentence])


def mending_files(found: Comparison, folder: Path) -> list[Path]:
    """Write ``mend.html`` and ``mend.json``."""
    title = escape(f"{found.model} on {found.suite}, mended")
    refused = "".join(
        f"<p>mend={escape(t.treatment)} is refused: {escape(t.refused)}</p>"
        for t in found.trials
        if t.refused
    )
    page = _PAGE.format(
        title=title, sentence=escape(found.sentence), refused=refused, shifts=found.shifts,
        table=tabulate(_lines(found), headers=_HEAD, tablefmt="html", disable_numparse=True),
    )  # fmt: skip
    content = {"mend.html": page, "mend.json": json.dumps(found.described, indent=1)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        with replacing(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return [folder / name for name in content]


def _lines(found: Comparison) -> list[tuple[str, ...]]:
    done = [trial for trial in found.trials if not trial.refused]
    return [_line(found, trial) for trial in (found.before, *done)]


def _line(found: Comparison, trial: Trial) -> tuple[str, ...]:
    gain = found.gain(trial)
    return (
        trial.treatment or "(none)",
        str(trial.layers),
        f"{trial.mean:.2e}",
        f"{trial.worst:.2e}",
        "" if isnan(gain) else f"{gain:+.3f}",
        f"{trial.cost:.2f}",
        trial.exact or "no",
        "yes" if trial.retraining else "no",
    )
