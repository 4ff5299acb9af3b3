"""Fixtures that several test files share, and the machine that they all see.

Tests measure on one core of the CPU, whatever the machine has, and write as on a person's, CI or
not: what is claimed of GPUs, of several cores and of colours names them. ``EQUIBENCH_DEVICE=cuda``
and ``OMP_NUM_THREADS=8`` run all of them elsewhere.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from report_pages import browser, opened, visit
from report_runs import hostile, make, two_suites

__all__ = ["browser", "hostile", "make", "opened", "two_suites", "visit"]  # fixtures

# what other programs look for to write otherwise: pytest says more on CI, Typer is coloured there
for name in ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS", "NO_COLOR"):
    os.environ.pop(name, None)
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("EQUIBENCH_DEVICE", "cpu")
if "OMP_NUM_THREADS" not in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # for processes that tests start
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests build their samples in a folder of their own, once for all processes of a session."""
    if "EQUIBENCH_CACHE" not in os.environ:
        own = tmp_path_factory.getbasetemp()
        shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
        os.environ["EQUIBENCH_CACHE"] = str(shared / "cache")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is long is slow; slow files come first: a short one then fills the gap at the end."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws without a seed does not follow from the tests before it."""
    torch.manual_seed(0)


@pytest.fixture
def images() -> torch.Tensor:
    """Three smooth images (3, 1, 32, 48)."""
    noise = torch.randn(3, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(noise, 5, 1, 2) * 5


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], str]:
    """Write a plugin file, and return its path."""

    def write(source: str) -> str:
        file = tmp_path / "plugin.py"
        file.write_text(f"import torch\nimport equibench as eb\n{source}")
        return str(file)

    return write


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in an empty folder: (exit status, stdout, stderr)."""
    from equibench.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUIBENCH_DATA", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["equibench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call
