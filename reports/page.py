"""One self-contained page about a run: no script, nothing loaded from anywhere."""

import base64
import io
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from equibench.registry import register_report
from equibench.reports.data import RunData
from equibench.reports.figures import FIGURES, save
from equibench.reports.lead import lead
from equibench.reports.paper import CITATION
from equibench.reports.paper_tables import paper_tables
from equibench.reports.provenance import command, facts
from equibench.reports.sections import sections
from equibench.store import RunFolder

__all__ = ["html", "render", "render_joint", "write_joint_page"]

_FAILURES = 50
_PATIENTS, _PHOTOS = ("mri-sample", "ct-sample"), "photo-sample"


@register_report(
    "html",
    summary="one self-contained page: tables, figures, the paper's values, provenance",
    extra="report",
    modules=("seaborn", "jinja2"),
)
def html(run: RunFolder, out: Path) -> list[Path]:
    """Write ``index.html`` below ``out``; a run with nothing but failures has a page as well."""
    page = render(RunData.read(run), run.path.resolve().name)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "index.html"
    file.write_text(page, encoding="utf-8")
    return [file]


def render(data: RunData, name: str = "run") -> str:
    """The page as text. Names are escaped: whatever they hold is shown, never run."""
    return _rendered("page.html", _context(data, name))


def write_joint_page(runs: Mapping[str, RunData], out: Path) -> Path:
    """Write ``index.html`` below ``out``, with the paper's tables from several runs.

    Args:
        runs: by name, which is the folder of the run's own page below ``out`` as well.
    """
    file = out / "index.html"
    file.write_text(render_joint(runs), encoding="utf-8")
    return file


def render_joint(runs: Mapping[str, RunData]) -> str:
    """That page as text, with links to the pages of each run."""
    tables = paper_tables(runs)
    return _rendered("paper.html", {"runs": list(runs), "tables": tables, "citation": CITATION})


def _rendered(template: str, context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("equibench.reports") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)


def _context(data: RunData, name: str) -> dict[str, Any]:
    return {
        "lead": lead(data),
        "sections": sections(data),
        "paper": paper_tables({name: data}),
        "citation": CITATION,
        "untrained": [model for model in data.models if model in data.untrained],
        "all_untrained": set(data.models) <= data.untrained,
        "figures": {} if data.rows.empty else {name: _embedded(name, data) for name in FIGURES},
        "failures": data.failures[:_FAILURES],
        "failure_count": len(data.failures),
        "state": str(data.manifest.get("state", "in an unknown state")),
        "facts": facts(data.manifest),
        "models": data.manifest.get("models", {}),
        "command": command(data.manifest.get("configuration", {})),
        "patients": [label for label in data.suites if data.suite_names[label] in _PATIENTS],
        "photos": [label for label in data.suites if data.suite_names[label] == _PHOTOS],
    }


def _embedded(name: str, data: RunData) -> str:
    stream = io.BytesIO()
    save(FIGURES[name](data), stream, "png")
    return base64.b64encode(stream.getvalue()).decode("ascii")
