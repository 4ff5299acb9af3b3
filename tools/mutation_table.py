"""What is known of each module's tests: mutants that were killed, and why others survived.

    python tools/mutation_table.py

writes the table of ``CONTRIBUTING.md`` from ``results/mutation``, and names the modules whose code
has changed since. ``tools/mutate.py --store`` writes those files; the reasons are written by hand,
and stay with their survivors when a module is mutated again.
"""

import ast
import csv
import hashlib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "results/mutation"
GUIDE = ROOT / "CONTRIBUTING.md"
SCORES = ("module", "mutants", "tried", "killed", "code")
SURVIVORS = ("module", "before", "after", "why")
HEAD = "| module | mutants | tried | killed |"

Row = dict[str, str]


def read(name: str) -> list[Row]:
    """The rows of ``scores`` or ``survivors``."""
    file = FOLDER / f"{name}.csv"
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def digest(module: str) -> str:
    """Twelve characters that change with the code of a module, and not with its comments."""
    code = ast.unparse(ast.parse((ROOT / module).read_text(encoding="utf-8")))
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def store(module: str, mutants: int, tried: int, survivors: list[tuple[str, str]]) -> None:
    """Put what came of a module in the place of what was known of it.

    Args:
        mutants: how many there are.
        tried: how many of them were.
        survivors: lines before and after, of those that no test noticed.
    """
    known = read("survivors")
    why = {(r["before"], r["after"]): r["why"] for r in known if r["module"] == module}
    score = (module, mutants, tried, tried - len(survivors), digest(module))
    scores = [r for r in read("scores") if r["module"] != module]
    scores.append({k: str(v) for k, v in zip(SCORES, score, strict=True)})
    rows = [r for r in known if r["module"] != module]
    for before, after in survivors:
        row = (module, before, after, why.get((before, after), ""))
        rows.append(dict(zip(SURVIVORS, row, strict=True)))
    _write("scores", SCORES, scores)
    _write("survivors", SURVIVORS, rows)


def survived(module: str) -> tuple[int, set[tuple[str, str]]]:
    """How many mutants of a module were tried, and which survived: the lines before and after."""
    scores = [r for r in read("scores") if r["module"] == module and r["code"] == digest(module)]
    if not scores:
        raise SystemExit(f"{module} has no score of the code of today: try it without --again")
    survivors = [r for r in read("survivors") if r["module"] == module]
    return int(scores[0]["tried"]), {(r["before"], r["after"]) for r in survivors}


def _write(name: str, columns: Iterable[str], rows: list[Row]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["module"]))


def table(scores: list[Row]) -> str:
    """The scores in Markdown, with the modules that have none yet."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = {row["module"]: row for row in scores}
    lines = [HEAD, "|---|---|---|---|"]
    for module in sorted({*known, *project["tool"]["mutate"]}):
        if row := known.get(module):
            share = int(row["killed"]) / int(row["tried"])
            lines.append(f"| `{module}` | {row['mutants']} | {row['tried']} | {share:.0%} |")
        else:
            lines.append(f"| `{module}` | | none yet | |")
    return "\n".join(lines)


def main() -> None:
    """Write the table, and say which of its lines are older than the code."""
    scores, text = read("scores"), GUIDE.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(HEAD) + r".*?(?=\n\n)", re.DOTALL)
    GUIDE.write_text(pattern.sub(lambda _: table(scores), text), encoding="utf-8")
    for row in scores:
        if not (ROOT / row["module"]).exists() or digest(row["module"]) != row["code"]:
            print(f"{row['module']} has changed since")


if __name__ == "__main__":
    main()
