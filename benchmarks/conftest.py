"""What the benchmarks of whole commands share: a child process, its time and its memory."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from equibench.memory import keep_memory

keep_memory()  # as commands do; bare networks get it, too

# a child's peak memory includes that of its parent until it runs a program of its own: a parent
# that is small makes no difference
_RUN = """\
import json, resource, subprocess, sys, time
begun = time.perf_counter()
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.run(sys.argv[1:], check=True, **quiet)
seconds = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([seconds, peak / (2**20 if sys.platform == "darwin" else 2**10)]))
"""


class Cost(NamedTuple):
    """Of a process: wall-clock seconds and peak memory in MiB."""

    seconds: float
    memory: float


@pytest.fixture
def cost() -> Callable[..., Cost]:
    """Run Python with some arguments to its end, in silence."""

    def run(*arguments: object) -> Cost:
        command = [sys.executable, *map(str, arguments)]
        around = [sys.executable, "-c", _RUN, *command]
        done = subprocess.run(around, stdout=subprocess.PIPE, text=True, check=True)
        return Cost(*json.loads(done.stdout))

    return run


def pytest_benchmark_update_machine_info(config, machine_info):
    """Keep what the machine is, not what it is called."""
    machine_info.pop("node")


@pytest.fixture
def report(benchmark, capsys):
    """Print figures, and keep them in the JSON of the benchmark."""

    def show(**figures: float) -> None:
        benchmark.extra_info.update(figures)
        with capsys.disabled():
            print("\n" + " · ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    return show
