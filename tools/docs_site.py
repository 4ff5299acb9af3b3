"""What mkdocs calls as it builds the site: pages that stand elsewhere, and those made here.

The site has the paths of the repository, so that a link leads there where it leads on GitHub. The
reference is made from what is installed: docstrings, the registry, the command line.
"""

import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

import equibench
from equibench.cli import app
from equibench.registry import registries

ROOT = Path(__file__).parent.parent
PAGES = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "harness/*.md"),
    *("examples/*/README.md", "reports/gallery/README.md", "results/published/README.md"),
)
NAME = re.compile(r"`eb\.(\w+)`")
PICTURE = re.compile(r"(!\[[^]]*\]\()([^)#]+)\.png\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages of the whole repository, what they link to, and those made here."""
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    pages = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    linked = {path for page in pages for path in _linked(page)} - set(pages)
    for path in [*pages, *sorted(linked), *sorted((ROOT / "docs/assets").iterdir())]:
        name = path.relative_to(ROOT).as_posix()
        included = InclusionLevel.INCLUDED  # also one that begins with a dot
        files.append(File(name, str(ROOT), config.site_dir, False, inclusion=included))
    for name, text in _made():
        files.append(File.generated(config, f"docs/reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let names lead to their docstrings, pictures have the colours of the page, and draw as a
    table what only a script could draw.
    """
    folder = ROOT / Path(page.file.src_uri).parent
    markdown = PICTURE.sub(lambda found: _themed(found, folder), markdown)
    markdown = re.sub(r"^```mermaid\n(.*?)^```", _layers, markdown, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?<!\[)" + NAME.pattern, _reference, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let wide tables scroll on narrow screens, and show bound methods as they are called."""
    html = re.sub(r'\n *<span class="bp">self</span><span class="p">,</span>', "", html)
    html = html.replace("<table>", '<div class="wide"><table>')
    return html.replace("</table>", "</table></div>")


def _linked(page: Path) -> Iterator[Path]:
    """The files that a page links to or shows."""
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        path = Path(os.path.normpath(page.parent / unquote(link)))
        if "://" not in link and path.is_file():
            yield path
            if (dark := _dark(path)).is_file():
                yield dark


def _dark(picture: Path) -> Path:
    """Where the twin of a picture is, for dark pages."""
    return picture.with_stem(f"{picture.stem}-dark")


def _themed(found: re.Match[str], folder: Path) -> str:
    """A picture, or two of which the page shows the one that fits its colours."""
    start, stem = found.groups()
    if not _dark(folder / f"{stem}.png").is_file():
        return found[0]
    return f"{start}{stem}.png#only-light){start}{stem}-dark.png#only-dark)"


def _reference(found: re.Match[str]) -> str:
    known = found[1] in equibench.__all__
    return f"[{found[0]}][equibench.{found[1]}]" if known else found[0]


def _layers(found: re.Match[str]) -> str:
    rooms = re.findall(r'\["(.+?)<br/>(.+?)"\]', found[1])
    return _table(("rooms, each above those that it imports", ""), rooms)


def _made() -> Iterator[tuple[str, str]]:
    """The pages of the reference, by name."""
    yield from _docstrings()
    yield "help", "# Command help\n\nWhat each command prints for `--help`.\n" + "".join(_helps())
    alone = "---\nhide: [toc]\n---\n\n"
    yield "models", f"{alone}# Models\n\n{_entries(registries.MODELS, _model)}"
    yield "suites", f"{alone}# Suites\n\n{_entries(registries.SUITES, _suite)}"
    yield "metrics", f"{alone}# Metrics\n\n{_entries(registries.METRICS, _metric)}"
    others = ("TRANSFORMS", "TREATMENTS", "TRACKERS", "REPORTS")
    parts = [
        f"## {name.title()}\n\n{_entries(getattr(registries, name), _suite)}" for name in others
    ]
    yield "others", "\n".join(["# Transforms, treatments, trackers, reports\n", *parts])


def _docstrings() -> Iterator[tuple[str, str]]:
    """A page for each group of names in docs/api.md."""
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for part in re.split(r"^\| \*\*", text, flags=re.MULTILINE)[1:]:
        group, _, rows = part.partition("**")
        names = [name for row in rows.splitlines()[1:] for name in NAME.findall(row.split("|")[1])]
        yield (
            group.replace(" ", "-"),
            f"# {group.capitalize()}\n\n" + "\n".join(f"::: equibench.{name}\n" for name in names),
        )


def _helps() -> Iterator[str]:
    command: Any = typer.main.get_command(app)
    for name, each in _commands(command, "equibench"):
        context = click.Context(each, info_name=name, terminal_width=80, max_content_width=80)
        yield f"\n## `{name}`\n\n```text\n{each.get_help(context)}\n```\n"


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, group
    for each, command in getattr(group, "commands", {}).items():
        yield from _commands(command, f"{name} {each}")


def _entries(
    registry: registries.Registry[Any], describe: Callable[[Any], dict[str, object]]
) -> str:
    entries = [entry for entry in registry.entries() if entry.distribution == "equibench"]
    # what reads files comes last
    entries.sort(key=lambda entry: entry.is_prefix or entry.name.startswith("."))
    rows = [{"name": f"`{entry.name}`", **describe(entry)} for entry in entries]
    heads = list(dict.fromkeys(head for row in rows for head in row))
    cells = [[row.get(head, "") for head in heads] for row in rows]
    return _table(heads, cells)


def _suite(entry: Any) -> dict[str, object]:
    return {
        "what it is": entry.info.summary,
        "arguments": ", ".join(f"`{argument}`" for argument in _arguments(entry)),
        "extra": f"`{entry.info.extra}`" if entry.info.extra else "",
    }


def _model(entry: Any) -> dict[str, object]:
    details = entry.info.details
    return _suite(entry) | {
        "padding": details.get("padding", ""),
        "total stride": details.get("total_stride", ""),
        "weights": ", ".join(f"`{name}`" for name in entry.info.weights),
    }


def _metric(entry: Any) -> dict[str, object]:
    metric = entry.object
    low, high = metric.bounds
    return {
        "what it is": entry.info.summary,
        "unit": metric.unit,
        "better": "higher ↑" if metric.higher_is_better else "lower ↓",
        "bounds": f"{low:g} … {high:g}",
        "compares": "labels" if metric.labels else "images",
        "version": metric.version,
    }


def _arguments(entry: Any) -> list[str]:
    try:
        parameters = inspect.signature(entry.object).parameters.values()
    except (TypeError, ValueError):  # an object that takes none
        return []
    return [
        each.name if each.default is each.empty else f"{each.name}={each.default}"
        for each in parameters
        if each.kind is not each.VAR_KEYWORD
    ]


def _table(heads: Any, rows: Any) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"
