"""Put the figures of ``results/benchmarks`` into the README and into pages of ``docs``.

python tools/benchmark_table.py
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "results/benchmarks/cpu.json"
GPU_FIGURES = ROOT / "results/benchmarks/cuda.json"
MENDING_FIGURES = ROOT / "results/benchmarks/mending.json"
"""Of ``pytest benchmarks/test_mending.py --benchmark-json=…``."""
README = ROOT / "README.md"
SCALE = ROOT / "docs/scale.md"
GPU = ROOT / "docs/gpu.md"
MENDING = ROOT / "docs/mend.md"

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

UNMEASURED = (
    "Nothing has been measured yet: `tox -e gpu` writes `results/benchmarks/cuda.json`, and\n"
    "`python tools/benchmark_table.py` puts its figures here."
)
"""What stands in the place of figures of a GPU until there are some."""

_PRECISIONS = "test_a_precision_beside_fp32[cuda-{}-{}]"
_SCREENINGS = "test_the_worst_of_many_shifts[cuda-{}]"


def table(results: dict[str, Any], gpu: dict[str, Any] | None = None) -> str:
    """The lines of the table, in Markdown.

    Args:
        gpu: what the same benchmarks gave on a GPU; a column of its own.
    """
    found, there = _by_name(results), {} if gpu is None else _by_name(gpu)
    lines = []
    for what, (text, name) in LINES.items():
        known = there.get(name.replace("cpu]", "cuda]"))
        column = "" if gpu is None else f" {text.format(**known) if known else ''} |"
        lines.append(f"| {what} | {text.format(**found[name])} |{column}")
    if gpu is None:
        return "\n".join(["| on two CPU cores | |", "|---|---|", *lines])
    head = f"| on two CPU cores | | on one {_card(gpu)['card']} |"
    return "\n".join([head, "|---|---|---|", *lines]).replace("|  |", "| |")


def gpu_section(gpu: dict[str, Any] | None) -> str:
    """What ``docs/gpu.md`` says of measurements, in Markdown; that there are none without them."""
    if gpu is None:
        return UNMEASURED
    found, card = _by_name(gpu), _card(gpu)
    bare = [(w, found[_BARE.format(w).replace("cpu", "cuda")]) for w in ("0.125", "0.25", "1")]
    throughput = _markdown(
        ("width", "bare throughput that is left", "ms a forward pass", "batch", "peak memory"),
        *(
            (width, f"{f['share_of_bare_throughput']:.0%}", f"{f['milliseconds_per_forward']:.2f}",
             f"{f['batch']}", f"{f['peak_GiB']:.1f} GiB") for width, f in bare
        ),
    )  # fmt: skip
    pairs = [(w, p) for w in ("0.125", "1") for p in ("tf32", "bf16", "fp16")]
    precisions = _markdown(
        ("width", "precision", "times as fast as fp32", "NMSE of outputs beside fp64",
         "that of fp32", "worst NMSE of ten shifts", "in fp32", "in fp64"),
        *(
            (width, precision, f"{f['times_as_fast_as_fp32']:.1f}", f"{f['nmse_of_outputs']:.1e}",
             f"{f['nmse_of_outputs_fp32']:.1e}", f"{f['worst']:.3e}", f"{f['worst_fp32']:.3e}",
             f"{f['worst_fp64']:.3e}")
            for width, precision in pairs
            for f in [found[_PRECISIONS.format(width, precision)]]
        ),
    )  # fmt: skip
    screenings = _markdown(
        ("screened in", "times as fast as fp32", "shifts confirmed", "√NMSE was off by",
         "√NMSE of the worst"),
        *(
            (fast, f"{f['times_as_fast_as_fp32']:.1f}", f"{f['share_confirmed']:.1%}",
             f"{f['screening_error']:.1e}", f"{f['worst_error']:.1e}")
            for fast in ("tf32", "bf16")
            for f in [found[_SCREENINGS.format(fast)]]
        ),
    )  # fmt: skip
    where = f"{card['card']}, driver {card['driver']}, torch {card['torch']}"
    return "\n\n".join([f"Measured on {where}:", throughput, precisions, screenings])


def _by_name(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {benchmark["name"]: benchmark["extra_info"] for benchmark in results["benchmarks"]}


def _card(results: dict[str, Any]) -> dict[str, Any]:
    card: dict[str, Any] = results["machine_info"]["cuda"]
    return card


def stored(file: Path) -> dict[str, Any] | None:
    """The results in a file; None where there is none."""
    if not file.exists():
        return None
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return results


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


def mending_table(results: dict[str, Any]) -> str:
    """What a pass of a treated network takes beside one of the untreated, in Markdown."""
    found = _by_name(results)
    name = "test_a_pass_of_a_treated_network_beside_the_untreated_one[{}]"
    return _markdown(
        ("treatment", "times the computing time of a pass"),
        *(
            (f"`{treatment}`", f"{found[name.format(treatment)]['times_of_its_cpu_time']:.2f}")
            for treatment in ("canonical", "blur", "aps")
        ),
        ("`average:n=8`", "8 passes"),
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
    """Write all of them."""
    results, gpu = json.loads(FIGURES.read_text(encoding="utf-8")), stored(GPU_FIGURES)
    mending = json.loads(MENDING_FIGURES.read_text(encoding="utf-8"))
    for page, new in (
        (README, table(results, gpu)),
        (SCALE, rows_table(results)),
        (SCALE, every_shift_table(results)),
        (MENDING, mending_table(mending)),
    ):
        head = "| on two CPU cores |" if page == README else new.split("\n|---")[0]
        _replace(page, rf"{re.escape(head)}[^\n]*\n\|---.*?(?=\n\n)", new)
    _replace(GPU, r"(?<=## Measured\n\n).*?(?=\n\n## |\n\Z)", gpu_section(gpu))


def _replace(page: Path, pattern: str, new: str) -> None:
    """Put a text in the place of what a pattern finds on a page."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(pattern, lambda _: new, text, count=1, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
