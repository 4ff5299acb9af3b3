"""Put the figures of ``results/benchmarks`` into the README and into ``docs/scale.md``.

python tools/benchmark_table.py
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "results/benchmarks/cpu.json"
README = ROOT / "README.md"
SCALE = ROOT / "docs/scale.md"

_BARE = "test_evaluation_beside_the_bare_network[{}-cpu]"
LINES = {
    "bare network's throughput that is left with all metrics on, U-Net of width 1/8": (
        "{share_of_bare_throughput:.0%}", _BARE.format("0.125")),
    "the same, width 1/4": ("{share_of_bare_throughput:.0%}", _BARE.format("0.25")),
    "the same, width 1": ("{share_of_bare_throughput:.0%}", _BARE.format("1")),
    "evaluation beside a plain loop (one image, two passes a shift, NumPy and scikit-image)": (
        "{times_as_fast_as_a_plain_loop:.1f} × as fast",
        "test_evaluation_beside_a_plain_loop[cpu]"),
    "all 320² shifts of an image by residue classes, beside every one": (
        "{times_as_fast_as_brute_force:.0f} × as fast", "test_all_shifts_of_an_image"),
    "SSIM of 320×320 pixels beside scikit-image": (
        "{times_as_fast_as_scikit_image:.1f} × as fast", "test_ssim_of_a_pair[320]"),
    "two workers of one thread beside one": (
        "{share_of_the_time_of_one:.2f} of its time", "test_two_workers_beside_one"),
    "summary and table of 20 million rows": (
        "{summary_seconds:.1f} s + {table_seconds:.1f} s, {summary_MiB:.0f} MiB",
        "test_summary_and_table_of_20_million_rows"),
    "peak memory with 1000 cases beside 10 (64×64 pixels, two shifts)": (
        "{growth:+.1%}", "test_memory_does_not_grow_with_the_number_of_cases"),
    "`equibench --help`": ("{seconds:.1f} s", "test_a_command_answers_soon[--help]"),
    "`equibench ls`": ("{seconds:.1f} s", "test_a_command_answers_soon[ls]"),
}  # fmt: skip
"""What a line is about, how it shows its figures, and the benchmark that measures them."""

_PEAKS = (("summary_MiB", 1), ("table_MiB", 2))


def table(results: dict[str, Any]) -> str:
    """The lines of the table, in Markdown."""
    found = {benchmark["name"]: benchmark["extra_info"] for benchmark in results["benchmarks"]}
    lines = [f"| {what} | {text.format(**found[name])} |" for what, (text, name) in LINES.items()]
    return "\n".join(["| on two CPU cores | |", "|---|---|", *lines])


def rows_table(results: dict[str, Any]) -> str:
    """What 20 million rows took, and what 70 million would, in Markdown."""
    cost = _rows(results)
    gigabytes, size = cost["bytes_per_row"] / 1e3, round(cost["bytes_per_row"])
    peak, table = (f"{cost[name] / 2**10:.{digits}f} GiB" for name, digits in _PEAKS)
    seconds, of_table = cost["summary_seconds"], cost["table_seconds"]
    small = "while no model × suite has more than 1.4 million rows"
    return _markdown(
        ("", "20 million rows", "70 million rows, computed"),
        ("disk", f"{cost['million_rows'] * gigabytes:.2f} GB ({size} bytes a row)",
         f"{70 * gigabytes:.1f} GB"),
        ("peak memory of the summary", peak, f"{peak} {small}"),
        ("time of the summary", f"{seconds:.0f} s", f"{3.5 * seconds:.0f} s"),
        ("peak memory and time of `table`", f"{table}, {of_table:.1f} s",
         "the same: it reads the summary"),
    )  # fmt: skip


def every_shift_table(results: dict[str, Any]) -> str:
    """What every shift of the paper's evaluation comes to, in Markdown."""
    size = round(_rows(results)["bytes_per_row"])
    passes, rows = 7135 * (2 + 256 + 6) * 9, 199 * (1 + 256) * 9
    return _markdown(
        ("every shift", ""),
        ("forward passes", f"7135 · (2 + 256 + 6) · 9 = {passes:,}"),
        ("rows, one for each volume and class", f"199 · (1 + 256) · 9 = {rows:,}"),
        ("disk", f"{rows / 1e6:.2f} million · {size} bytes = {rows * size / 1e6:.0f} MB"),
        ("GPU hours at 1000 forward passes a second", f"{passes / 1000 / 3600:.1f}"),
        ("at 100 a second", f"{passes / 100 / 3600:.0f}"),
    )


def _rows(results: dict[str, Any]) -> dict[str, float]:
    name = "test_summary_and_table_of_20_million_rows"
    cost: dict[str, float] = next(
        b["extra_info"] for b in results["benchmarks"] if b["name"] == name
    )
    return cost


def _markdown(head: Sequence[str], *lines: Sequence[str]) -> str:
    rows = [f"| {' | '.join(line)} |".replace("|  |", "| |") for line in (head, *lines)]
    return "\n".join([rows[0], "|---" * len(head) + "|", *rows[1:]])


def main() -> None:
    """Write both."""
    results = json.loads(FIGURES.read_text(encoding="utf-8"))
    for page, made in ((README, table), (SCALE, rows_table), (SCALE, every_shift_table)):
        new, text = made(results), page.read_text(encoding="utf-8")
        head = re.escape(new.split("\n|---")[0])
        pattern = re.compile(rf"{head}\n\|---.*?(?=\n\n)", re.DOTALL)
        page.write_text(pattern.sub(lambda _: new, text), encoding="utf-8")  # noqa: B023


if __name__ == "__main__":
    main()
