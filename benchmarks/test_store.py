"""Runs of many rows, how soon a command answers, and memory that does not grow with cases."""

import pytest
from synthetic import write_run

MAIN = "from equibench.cli import main; main()"
SUMMARIZE = """\
import sys
from equibench.inference.allocator import keep_memory
keep_memory()
from equibench.runs.run_folder import RunFolder
RunFolder(sys.argv[1]).conclude()
"""


def test_summary_and_table_of_20_million_rows(benchmark, cost, report, tmp_path):
    run = write_run(tmp_path / "run", rows_per_image=190)
    size = sum(file.stat().st_size for file in run.path.rglob("*.parquet"))
    rows = 9 * (7135 + 3553 + 1000) * 190
    summary = benchmark.pedantic(cost, (SUMMARIZE, run.path))
    table = cost(MAIN, "table", run.path)
    report(
        million_rows=rows / 1e6,
        bytes_per_row=size / rows,
        summary_seconds=summary.seconds,
        summary_MiB=summary.memory,
        table_seconds=table.seconds,
        table_MiB=table.memory,
    )
    assert max(summary.memory, table.memory) < 3 * 1024


@pytest.mark.parametrize("command", ["--help", "ls"])
def test_a_command_answers_soon(benchmark, cost, report, command):
    cost(MAIN, command)  # files are read from the disk once
    costs = []
    benchmark.pedantic(lambda: costs.append(cost(MAIN, command)), rounds=5)
    report(seconds=min(each.seconds for each in costs))


def test_memory_does_not_grow_with_the_number_of_cases(benchmark, cost, report, tmp_path):
    def run(cases):
        return cost(
            MAIN, "run", "-m", "unet-baseline,width=0.05", "-s", f"noise,n={cases},size=64",
            "--shifts", "random:n=2,max=8", "--batch", 8, "--out", tmp_path / str(cases),
        )  # fmt: skip

    few = run(10)
    many = benchmark.pedantic(run, (1000,))
    growth = many.memory / few.memory - 1
    report(MiB_10_cases=few.memory, MiB_1000_cases=many.memory, growth=growth)
    assert growth < 0.05
