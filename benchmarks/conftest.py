"""What the benchmarks of whole commands share: a child process, its time and its memory."""

import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Cost(NamedTuple):
    """Of a process: wall-clock seconds and peak memory in MiB."""

    seconds: float
    memory: float


@pytest.fixture
def cost() -> Callable[..., Cost]:
    """Run Python with some arguments to its end, in silence."""

    def run(*arguments: object) -> Cost:
        begun = time.perf_counter()
        silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (1, 2)]
        command = [sys.executable, *map(str, arguments)]
        child = os.posix_spawn(sys.executable, command, os.environ, file_actions=silent)
        _, status, usage = os.wait4(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, command
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return Cost(time.perf_counter() - begun, usage.ru_maxrss / unit)

    return run


@pytest.fixture
def report(benchmark, capsys):
    """Print figures, and keep them in the JSON of the benchmark."""

    def show(**figures: float) -> None:
        benchmark.extra_info.update(figures)
        with capsys.disabled():
            print("\n" + " · ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    return show
