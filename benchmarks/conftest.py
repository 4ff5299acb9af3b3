"""What the benchmarks of whole commands share: a child process, its time and its memory."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

from equibench.inference.allocator import keep_memory

keep_memory()  # as commands do; bare networks get it, too

# the peak of a process that was started by a large one includes that one's: a small one starts it
_RUN = """\
import json, os, subprocess, sys, time
peak, told = os.pipe()
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
begun = time.perf_counter()
environment = os.environ | {"TELL_PEAK": str(told)}
subprocess.run(sys.argv[1:], check=True, pass_fds=[told], env=environment, **quiet)
seconds = time.perf_counter() - begun
kilobytes = int(os.read(peak, 20))
print(json.dumps([seconds, kilobytes / (2**20 if sys.platform == "darwin" else 2**10)]))
"""

# told before libraries are unloaded, which reads another 130 MiB of their files
_TELL = """\
import atexit, os, resource
def tell():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    os.write(int(os.environ["TELL_PEAK"]), b"%d" % peak)
atexit.register(tell)
"""


class Cost(NamedTuple):
    """Of a process: wall-clock seconds, and peak memory in MiB until it ends."""

    seconds: float
    memory: float


@pytest.fixture
def cost() -> Callable[..., Cost]:
    """Run some Python code with arguments to its end, in silence."""

    def run(code: str, *arguments: object) -> Cost:
        command = [sys.executable, "-c", _TELL + code, *map(str, arguments)]
        around = [sys.executable, "-c", _RUN, *command]
        done = subprocess.run(around, stdout=subprocess.PIPE, text=True, check=True)
        return Cost(*json.loads(done.stdout))

    return run


def pytest_benchmark_update_machine_info(config, machine_info):
    """Keep what the machine is, not what it is called."""
    machine_info.pop("node")
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        machine_info["cuda"] = {
            "card": card.name,
            "GiB": round(card.total_memory / 2**30, 1),
            "driver": driver(),
            "torch": torch.__version__,
            "runtime": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }


def driver():
    """The version of the GPU's driver; None where nobody tells it."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return said[0] if said else None


@pytest.fixture
def report(benchmark, capsys):
    """Print figures, and keep them in the JSON of the benchmark."""

    def show(**figures: float) -> None:
        benchmark.extra_info.update(figures)
        with capsys.disabled():
            print("\n" + " · ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    return show
