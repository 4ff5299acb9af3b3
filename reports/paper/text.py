"""Tables 1 to 4, measured beside published, as Markdown, LaTeX and CSV."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from equibench.reports.findings.published_results import CITATION
from equibench.reports.findings.run_data import RunData
from equibench.reports.paper.side_by_side import PaperTable, paper_tables
from equibench.reports.tables.markup import escape_latex, escape_markdown

__all__ = ["latex", "markdown", "numbers", "orderings", "write_paper_tables"]

NOTHING = "None of the paper's networks was measured on MRI, CT or photos.\n"


def write_paper_tables(runs: Mapping[str, RunData], out: Path) -> str:
    """Write ``tables/paper.md``, ``.tex``, ``.csv`` and ``paper-orderings.csv`` below ``out``.

    Returns:
        The Markdown, for a terminal.
    """
    tables = paper_tables(runs)
    folder = out / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    shown = markdown(tables)
    texts = {
        "paper.md": shown,
        "paper.tex": latex(tables),
        "paper.csv": numbers(tables).to_csv(index=False),
        "paper-orderings.csv": orderings(tables).to_csv(index=False),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return shown


def markdown(tables: Sequence[PaperTable]) -> str:
    """Each table with its setting above, and notes and orderings below."""
    from tabulate import tabulate

    if not tables:
        return NOTHING
    parts = []
    for table in tables:
        headings = [
            f"{block.heading} {name.text}" if number == 0 else name.text
            for block in table.blocks
            for number, name in enumerate(block.names)
        ]
        grid = tabulate(
            list(_escaped(table)),
            headers=["network", *headings],
            tablefmt="pipe",
            disable_numparse=True,
            colalign=["left", *("right" for _ in headings)],
        )
        above = [f"## {escape_markdown(table.title)}", escape_markdown(table.text), grid]
        notes = [escape_markdown(note) for note in table.notes]
        answers = [
            f"- {decision.measured.answer}: {escape_markdown(decision.text)}"
            for decision in table.decisions
        ]
        parts.append("\n\n".join([*above, *notes, "\n".join(answers)]))
    return "\n\n".join([*parts, f"paper: {CITATION}"]) + "\n"


def latex(tables: Sequence[PaperTable]) -> str:
    """A ``table*`` in booktabs for each; the preamble needs booktabs and UTF-8, no more."""
    return "\n".join([r"% \usepackage{booktabs}", *map(_float, tables)]) + "\n"


def numbers(tables: Sequence[PaperTable]) -> pd.DataFrame:
    """One line for each table × setting × network × quantity × group."""
    return pd.DataFrame([line for table in tables for line in _numbers(table)])


def orderings(tables: Sequence[PaperTable]) -> pd.DataFrame:
    """One line for each ordering and group of a table, measured and published."""
    return pd.DataFrame(
        [
            {
                **_identity(table),
                "ordering": decision.ordering.text,
                "group": decision.group,
                "measured": decision.measured.answer,
                "measured_numbers": decision.measured.numbers,
                "published": ", ".join(
                    f"{acquisition} {verdict.answer}".strip()
                    for acquisition, verdict in decision.published.items()
                ),
                "published_numbers": "; ".join(
                    f"{acquisition} {verdict.numbers}".strip()
                    for acquisition, verdict in decision.published.items()
                ),
            }
            for table in tables
            for decision in table.decisions
        ]
    )


def _escaped(table: PaperTable) -> Iterator[list[str]]:
    for line in table.lines:
        yield [escape_markdown(text) for text in (line.model, *(cell.text for cell in line.cells))]


def _identity(table: PaperTable) -> dict[str, object]:
    return {"table": table.definition.number, "title": table.definition.title} | asdict(
        table.setting
    )


def _numbers(table: PaperTable) -> Iterator[dict[str, object]]:
    for name, network in zip(table.names, table.networks, strict=True):
        for quantity in table.definition.quantities:
            published = {
                f"published_{acquisition}".rstrip("_"): table.definition.published(
                    quantity, acquisition
                )[network.name][0]
                for acquisition in (table.definition.acquisitions if quantity.paper else ())
            }
            for group in table.groups:
                yield {
                    **_identity(table),
                    "network": name,
                    "label": network.label,
                    "run": network.run,
                    "group": group,
                    "quantity": f"{quantity.column}_{quantity.statistic}",
                    "measured": network.value(quantity, group),
                    **published,
                }


def _float(table: PaperTable) -> str:
    blocks = table.blocks
    above, rules, at = [""], [], 2
    for block in blocks:
        width = len(block.names)
        above.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(block.heading)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    below = ["network", *(_stacked(name.text) for block in blocks for name in block.names)]
    lines = [
        " & ".join(map(escape_latex, (line.model, *(cell.text for cell in line.cells)))) + r" \\"
        for line in table.lines
    ]
    notes = [escape_latex(note) for note in table.notes]
    notes += [
        rf"\textbf{{{decision.measured.answer}}}: {escape_latex(decision.text)}"
        for decision in table.decisions
    ]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{escape_latex(table.caption)}}}\smallskip",
            rf"\begin{{tabular}}{{l{'r' * (at - 2)}}}",
            r"\toprule",
            " & ".join(above) + r" \\",
            *rules,
            " & ".join(below) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\smallskip\raggedright",
            *(rf"{note}\par" for note in notes),
            r"\end{table*}",
        ]
    )


def _stacked(heading: str) -> str:
    """One word above the other: columns as narrow as their numbers."""
    words = r"\\".join(escape_latex(word) for word in heading.split())
    return rf"\shortstack[r]{{{words}}}"
