"""Put the figures of ``results/benchmarks`` into the table of the README.

python tools/benchmark_table.py
"""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "results/benchmarks/cpu.json"
README = ROOT / "README.md"

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
    "peak memory with 1000 cases beside 10": (
        "{growth:+.1%}", "test_memory_does_not_grow_with_the_number_of_cases"),
    "`equibench --help`": ("{seconds:.1f} s", "test_a_command_answers_soon[--help]"),
    "`equibench ls`": ("{seconds:.1f} s", "test_a_command_answers_soon[ls]"),
}  # fmt: skip
"""What a line is about, how it shows its figures, and the benchmark that measures them."""


def table(results: dict[str, Any]) -> str:
    """The lines of the table, in Markdown."""
    found = {benchmark["name"]: benchmark["extra_info"] for benchmark in results["benchmarks"]}
    lines = [f"| {what} | {text.format(**found[name])} |" for what, (text, name) in LINES.items()]
    return "\n".join(["| on two CPU cores | |", "|---|---|", *lines])


def main() -> None:
    """Write the README."""
    text = README.read_text(encoding="utf-8")
    measured = table(json.loads(FIGURES.read_text(encoding="utf-8")))
    pattern = re.compile(r"\| on two CPU cores \|.*?(?=\n\n)", re.DOTALL)
    README.write_text(pattern.sub(lambda _: measured, text), encoding="utf-8")


if __name__ == "__main__":
    main()
