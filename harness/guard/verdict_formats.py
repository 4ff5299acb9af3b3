"""Verdicts as a table, as JSON, as JUnit XML and as annotations of GitHub Actions."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args
from xml.etree import ElementTree

from tabulate import tabulate

from equibench.errors import UsageError
from equibench.foundation.atomic_files import replacing
from equibench.guard.gate import Verdict, failed

__all__ = ["Format", "conclusion", "render", "write"]

Format = Literal["table", "json", "junit", "github", "markdown"]

_SUFFIXES: dict[str, Format] = {".json": "json", ".md": "markdown", ".xml": "junit"}

_SIGNS = {"ok": "✓", "improved": "▲", "better": "▲", "better here": "▲"}


def render(verdicts: Sequence[Verdict], format: Format, title: str) -> str:
    """Write verdicts.

    Args:
        title: what was checked against what.
    """
    writers: dict[str, Callable[[Sequence[Verdict], str], str]] = {
        "table": _table,
        "json": _json,
        "junit": _junit,
        "github": _github,
        "markdown": _markdown,
    }
    assert set(writers) == set(get_args(Format))
    return writers[format](verdicts, title)


def write(verdicts: Sequence[Verdict], file: Path, title: str) -> None:
    """Write verdicts into a file, as its suffix says.

    Raises:
        UsageError: another suffix.
        EquibenchError: the file cannot be written.
    """
    format = _SUFFIXES.get(file.suffix)
    if format is None:
        raise UsageError(f"--write {file}: name a file that ends in {', '.join(_SUFFIXES)}")
    with replacing(file) as temporary:
        temporary.write_text(render(verdicts, format, title) + "\n", encoding="utf-8")


def conclusion(verdicts: Sequence[Verdict]) -> str:
    """How many of how many figures fail, and how many are better."""
    wrong, better = len(failed(verdicts)), sum(_SIGNS.get(v.mark) == "▲" for v in verdicts)
    said = f"{wrong} of {len(verdicts)} figures fail" if wrong else f"all {len(verdicts)} pass"
    return f"{said}, {better} are better" if better else said


def _markdown(verdicts: Sequence[Verdict], title: str) -> str:
    """What fails in a table, everything in one that can be unfolded."""
    wrong = failed(verdicts)
    parts = [f"### {'❌' if wrong else '✅'} {_cell(title)}: {conclusion(verdicts)}"]
    if wrong:
        parts.append(_lines(wrong))
    parts.append(
        f"<details><summary>all {len(verdicts)} figures</summary>\n\n{_lines(verdicts)}\n\n"
        "</details>"
    )
    return "\n\n".join(parts)


def _table(verdicts: Sequence[Verdict], title: str) -> str:
    return f"{_lines(verdicts)}\n{title}: {conclusion(verdicts)}"


def _lines(verdicts: Sequence[Verdict]) -> str:
    """A line for each verdict."""
    tested = any(verdict.test for verdict in verdicts)
    heading = ["", "model", "suite", "group", "figure", "before", "now"]
    heading += ["p", "effect"] if tested else ["limit"]
    lines = []
    for v in verdicts:
        names = [f"{_SIGNS.get(v.mark, '✗')} {v.mark}", v.model, v.suite, v.group, v.figure]
        figures = [_number(v.before), _number(v.after)]
        if tested:
            figures += [_number(v.test.p), f"{v.test.effect:+.2f}"] if v.test else ["", ""]
        else:
            figures.append(_number(v.limit))
        lines.append([*(_cell(text) for text in names), *figures, _cell(v.note)])
    return tabulate(lines, [*heading, ""], tablefmt="github", disable_numparse=True)


def _json(verdicts: Sequence[Verdict], title: str) -> str:
    """Standard JSON: what is not finite is text."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    content = {
        "title": title,
        "passed": not failed(verdicts),
        "verdicts": [plain(asdict(verdict)) for verdict in verdicts],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _junit(verdicts: Sequence[Verdict], title: str) -> str:
    suite = ElementTree.Element(
        "testsuite",
        name=_printable(title),
        tests=str(len(verdicts)),
        failures=str(len(failed(verdicts))),
    )
    for verdict in verdicts:
        classname = ".".join(filter(None, (verdict.model, verdict.suite, verdict.group)))
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_printable(classname) or "equibench",
            name=_printable(verdict.figure) or verdict.mark,
        )
        if not verdict.passed:
            message = _printable(str(verdict))
            ElementTree.SubElement(case, "failure", message=message, type=verdict.mark)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _github(verdicts: Sequence[Verdict], title: str) -> str:
    """An error for what fails, a notice for what is better, and the conclusion."""
    lines = []
    for verdict in verdicts:
        if verdict.mark != "ok":
            level = "notice" if verdict.passed else "error"
            lines.append(f"::{level} title=equibench%3A {verdict.mark}::{_data(str(verdict))}")
    return "\n".join([*lines, f"{title}: {conclusion(verdicts)}"])


def _data(text: str) -> str:
    """A message of a workflow command takes one line, and no command can hide in it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _printable(text: str) -> str:
    """Names are data, and XML has no way to write control characters."""
    return "".join(c if c.isprintable() else "�" for c in text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
