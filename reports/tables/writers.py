"""A table as Markdown, LaTeX (booktabs and siunitx), HTML, and text that fits a terminal."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from equibench.reports.findings.run_data import shorten
from equibench.reports.tables.grid import Cell
from equibench.reports.tables.markup import escape_latex, escape_markdown

__all__ = ["Heading", "Table", "html", "latex", "markdown", "terminal"]

_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:e([+-])(\d+))?")
_SHORTEST = 12
"""Characters that a name is cut down to, at most, before columns are left out."""


@dataclass(frozen=True)
class Heading:
    """Of a column.

    Args:
        above: the heading that it shares with its neighbours.
        key: it says what a line is about, and is never left out.
    """

    text: str
    above: str = ""
    left: bool = False
    key: bool = False


@dataclass(frozen=True)
class Table:
    """Text that is not yet escaped for any format; the first key may repeat from line to line."""

    headings: Sequence[Heading]
    lines: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def column(self, at: int) -> list[str]:
        return [line[at].text for line in self.lines]

    def spans(self) -> Iterator[tuple[str, int]]:
        """What stands above the columns, each with how many it spans."""
        for above, columns in groupby(self.headings, lambda heading: heading.above):
            width = len(list(columns))
            yield from [(above, width)] if above else [("", 1)] * width


def markdown(table: Table) -> str:
    """A pipe table; a shared heading stands before the first of its columns."""
    from tabulate import tabulate

    above, headings = "", []
    for heading in table.headings:
        first = heading.above if heading.above != above else ""
        headings.append(f"{first} {heading.text}".strip())
        above = heading.above
    text: str = tabulate(
        [[escape_markdown(cell.text) for cell in line] for line in table.lines],
        headers=headings,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left" if heading.left else "right" for heading in table.headings],
    )
    return "\n".join([text, *(f"\n{escape_markdown(note)}" for note in table.notes)]) + "\n"


def latex(table: Table) -> str:
    """Booktabs, numbers aligned by siunitx, the best ones bold; a document needs both packages."""
    formats = [_s_column(table.column(i)) for i in range(len(table.headings))]
    above, rules, at = [], [], 1
    for heading, width in table.spans():
        above.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(heading)}}}" if heading else "")
        if heading:
            rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    kinds = [
        rf"S[table-format={found}]" if found else ("l" if heading.left else "r")
        for found, heading in zip(formats, table.headings, strict=True)
    ]
    return "\n".join(
        [
            r"% \usepackage{booktabs, siunitx}",
            r"\begingroup\sisetup{detect-weight, mode=text}",
            rf"\begin{{tabular}}{{{''.join(kinds)}}}",
            r"\toprule",
            *([" & ".join(above) + r" \\", *rules] if rules else []),
            " & ".join(
                rf"{{{escape_latex(h.text)}}}" if found else escape_latex(h.text)
                for h, found in zip(table.headings, formats, strict=True)
            )
            + r" \\",
            r"\midrule",
            *(
                " & ".join(_latex_cell(c, f) for c, f in zip(line, formats, strict=True)) + r" \\"
                for line in table.lines
            ),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par{{\footnotesize {escape_latex(note)}}}" for note in table.notes),
            r"\endgroup",
            "",
        ]
    )


def html(table: Table) -> str:
    """A bare ``<table>``, the best bold, for a page that has a style of its own."""
    above = "".join(
        f'<th colspan="{width}" style="text-align: center">{escape(heading)}</th>'
        for heading, width in table.spans()
    )
    sides = ["left" if heading.left else "right" for heading in table.headings]
    names = "".join(
        f'<th style="text-align: {side}">{escape(heading.text)}</th>'
        for heading, side in zip(table.headings, sides, strict=True)
    )
    lines = [
        "".join(_html_cell(cell, side) for cell, side in zip(line, sides, strict=True))
        for line in table.lines
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    head = f"<thead><tr>{above}</tr><tr>{names}</tr></thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>{notes}"


def _html_cell(cell: Cell, side: str) -> str:
    text = f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
    return f'<td style="text-align: {side}">{text}</td>'


def terminal(table: Table, width: int, colour: bool = False) -> str:
    """Text of at most ``width`` characters a line, as far as names and one column allow.

    Long names are cut in the middle first; then columns are left out from the right, and named.

    Args:
        colour: bold for the best, dim for headings and notes, as ANSI sequences.
    """
    columns = list(range(len(table.headings)))
    left_out: list[str] = []
    while True:
        widths = _widths(table, columns, width)
        fits = sum(widths) + 2 * (len(columns) - 1) <= width
        if fits or table.headings[columns[-1]].key:
            break
        heading = table.headings[columns.pop()]
        left_out.insert(0, f"{heading.above} {heading.text}".strip())
    dim, bold = ("\x1b[2m{}\x1b[0m", "\x1b[1m{}\x1b[0m") if colour else ("{}", "{}")
    headings = [table.headings[i] for i in columns]
    lines = []
    if any(heading.above for heading in headings):
        lines.append(dim.format(_above(headings, widths)))
    lines.append(dim.format(_joined([h.text for h in headings], headings, widths)))
    before = None
    for line in table.lines:
        cells = [line[i] for i in columns]
        if before is not None and cells[0].text != before:
            lines.append("")
        shown = ["" if i == 0 and c.text == before else c.text for i, c in enumerate(cells)]
        marks = [bold if cell.best else "{}" for cell in cells]
        lines.append(_joined(shown, headings, widths, marks))
        before = cells[0].text
    notes = list(table.notes)
    if left_out:
        notes.append(f"left out for width: {', '.join(left_out)}")
    return "\n".join([*lines, *(dim.format(f"\n{note}") for note in notes)]) + "\n"


def _s_column(cells: Sequence[str]) -> str:
    """What siunitx reserves for a column of numbers; empty for any other."""
    found = [_NUMBER.fullmatch(cell) for cell in cells if cell not in ("–", "NaN", "∞", "−∞")]
    matches = [match for match in found if match]
    if not matches or len(matches) < len(found):
        return ""
    sign = "-" if any(m[1] for m in matches) else ""
    whole, decimals = max(len(m[2]) for m in matches), max(len(m[3] or "") for m in matches)
    powers = [m for m in matches if m[5]]
    exponent = ""
    if powers:
        minus = "-" if any(m[4] == "-" for m in powers) else ""
        exponent = f"e{minus}{max(len(str(int(m[5]))) for m in powers)}"
    return f"{sign}{whole}.{decimals}{exponent}" if decimals else f"{sign}{whole}{exponent}"


def _latex_cell(cell: Cell, format: str) -> str:
    match = _NUMBER.fullmatch(cell.text)
    if not format:
        return escape_latex(cell.text)
    if not match:
        return rf"{{{escape_latex(cell.text)}}}"
    exponent = f"e{'-' if match[4] == '-' else ''}{int(match[5])}" if match[5] else ""
    text = cell.text.partition("e")[0] + exponent
    return rf"\bfseries {text}" if cell.best else text


def _widths(table: Table, columns: Sequence[int], width: int) -> list[int]:
    """Of columns, names cut as far as that helps."""
    widths = [max(map(len, (table.headings[i].text, *table.column(i)))) for i in columns]
    excess = sum(widths) + 2 * (len(columns) - 1) - width
    names = [at for at, i in enumerate(columns) if table.headings[i].left]
    while excess > 0 and names and max(widths[at] for at in names) > _SHORTEST:
        widest = max(names, key=lambda at: widths[at])
        widths[widest] -= 1
        excess -= 1
    return _widened(table, columns, widths, -excess)


def _widened(table: Table, columns: Sequence[int], widths: Sequence[int], room: int) -> list[int]:
    """Columns that are narrower than their shared heading made as wide, as far as there is room."""
    widened, headings = list(widths), [table.headings[i] for i in columns]
    for at, heading in enumerate(headings):
        if heading.above and (at == 0 or headings[at - 1].above != heading.above):
            lacking = len(heading.above) - _span(headings, widened, at)
            more = max(0, min(lacking, room))
            widened[at] += more
            room -= more
    return widened


def _joined(
    cells: Sequence[str],
    headings: Sequence[Heading],
    widths: Sequence[int],
    marks: Sequence[str] | None = None,
) -> str:
    parts = []
    for i, (cell, heading, width) in enumerate(zip(cells, headings, widths, strict=True)):
        text = shorten(cell, width)
        padded = f"{text:<{width}}" if heading.left else f"{text:>{width}}"
        parts.append(marks[i].format(padded) if marks else padded)
    return "  ".join(parts).rstrip()


def _above(headings: Sequence[Heading], widths: Sequence[int]) -> str:
    """The shared headings, each at the left of its columns."""
    line, at = "", 0
    for i, (heading, width) in enumerate(zip(headings, widths, strict=True)):
        if heading.above and (i == 0 or headings[i - 1].above != heading.above):
            span = _span(headings, widths, i)
            line = f"{line:<{at}}{shorten(heading.above, span):^{span}}"
        at += width + 2
    return line.rstrip()


def _span(headings: Sequence[Heading], widths: Sequence[int], first: int) -> int:
    last = first
    while last + 1 < len(headings) and headings[last + 1].above == headings[first].above:
        last += 1
    return sum(widths[first : last + 1]) + 2 * (last - first)
