"""The versions that are known to work together do so on every Python that is promised."""

import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PYTHONS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "requires-python"
]
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINNED = [Requirement(line) for line in LINES if line and not line.startswith("#")]


@pytest.mark.parametrize("pinned", PINNED, ids=str)
def test_a_pinned_version_needs_no_later_release_of_python_than_is_promised(pinned):
    """Debian 12 has 3.11.2, and a package that asks for 3.11.5 ends the installation there."""
    try:
        installed = metadata(pinned.name)
    except PackageNotFoundError:
        pytest.skip("not in this environment")
    if not pinned.specifier.contains(installed["Version"], prereleases=True):
        pytest.skip("another version is in this environment")
    (oldest,) = (each.version for each in SpecifierSet(PYTHONS) if each.operator == ">=")
    for python in (f"{oldest}.0", "3.12.0", "3.13.0"):
        assert SpecifierSet(installed.get("Requires-Python", "")).contains(python)
