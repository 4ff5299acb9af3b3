"""Run the test suite and the benchmarks on the GPU at hand, into results/benchmarks/cuda.json.

python tools/gpu.py [arguments of pytest for the tests]

It takes the Python that it is run with as it is: nothing is fetched. Where equibench is not
installed there, this checkout is, without its dependencies, into a folder that is gone afterwards.
Without a GPU one line says so.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "results/benchmarks/cuda.json"

INSTALL = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
SIDE_BY_SIDE = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")


def missing() -> str:
    """Why nothing can be measured here; empty where it can."""
    if importlib.util.find_spec("torch") is None:
        return f"no PyTorch in {sys.executable}: nothing was run"
    import torch

    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without it"
        return f"no CUDA device here (torch {torch.__version__}, {built}): nothing was run"
    lacking = [n for n in ("pytest", "pytest_benchmark") if importlib.util.find_spec(n) is None]
    return (
        f"{' and '.join(lacking)} missing in {sys.executable}: nothing was run" if lacking else ""
    )


def main(arguments: list[str]) -> int:
    """Run both; the exit status is that of the first that fails."""
    why = missing()
    if why:
        print(why)
        return 0
    with TemporaryDirectory() as folder:
        environment = os.environ | {"EQUIBENCH_DEVICE": "cuda"}
        if importlib.util.find_spec("equibench") is None:
            where = ("--target", f"{folder}/site", str(ROOT))
            if status := run(*INSTALL, *where, environment=os.environ):
                return status
            path = os.pathsep.join(filter(None, (f"{folder}/site", os.environ.get("PYTHONPATH"))))
            environment["PYTHONPATH"] = path
        report, figures = Path(folder) / "tests.xml", Path(folder) / "cuda.json"
        spread = SIDE_BY_SIDE if importlib.util.find_spec("xdist") else ()
        begun = time.monotonic()
        tests = run(
            *("-P", "-m", "pytest", "tests", f"--junitxml={report}", *spread, *arguments),
            environment=environment,
        )
        told = counted(report) | {"seconds": round(time.monotonic() - begun)}
        benchmarks = run(
            *("-P", "-m", "pytest", "benchmarks", "-m", "gpu", f"--benchmark-json={figures}"),
            environment=environment,
        )
        if figures.exists() and figures.stat().st_size:
            keep(json.loads(figures.read_text(encoding="utf-8")) | {"tests": told})
    return tests or benchmarks


def run(*arguments: str, environment: Any) -> int:
    """Run this Python once more; its exit status."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=False)
    return done.returncode


def counted(report: Path) -> dict[str, int]:
    """How many tests passed, failed and were skipped, from pytest's XML; nothing without one."""
    if not report.exists():
        return {}
    suite = next(ElementTree.parse(report).getroot().iter("testsuite")).attrib
    number = {name: int(suite[name]) for name in ("tests", "failures", "errors", "skipped")}
    failed = number["failures"] + number["errors"]
    return {
        "passed": number["tests"] - failed - number["skipped"],
        "failed": failed,
        "skipped": number["skipped"],
    }


def keep(results: dict[str, Any]) -> None:
    """Write the figures, whole or not at all, without the times of single rounds."""
    for benchmark in results["benchmarks"]:
        benchmark["stats"].pop("data", None)
    temporary = FIGURES.with_suffix(".part")
    temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    temporary.replace(FIGURES)
    print(f"{FIGURES.relative_to(ROOT)}: python tools/benchmark_table.py shows it in the pages")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
