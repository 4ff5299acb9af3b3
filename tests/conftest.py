"""Fixtures that several test files share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests build their samples in a folder of their own, once a session."""
    if "EQUIBENCH_CACHE" not in os.environ:
        os.environ["EQUIBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


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
