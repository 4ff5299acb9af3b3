"""What ``pip install 'equibench[all]'`` puts into an environment leaves its other tools at work."""

import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

TEST = "def test_it(pytestconfig): assert pytestconfig.pluginmanager.has_plugin('equibench')\n"


def closure(*wanted):
    """The distributions that are installed with some requirements; absent ones are left out."""
    found, waiting = {}, [Requirement(text) for text in wanted]
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in found:
            continue
        try:
            found[key] = distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        for text in distribution.requires or ():
            each = Requirement(text)
            extras = ("", *requirement.extras)
            if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(each)
    return {name: distribution for (name, _), distribution in found.items()}


@pytest.fixture
def environment(tmp_path):
    """An environment of links to what some requirements install, and to nothing else."""

    def build(*wanted):
        place = tmp_path / "environment"
        venv.create(place, symlinks=True)
        variables = {"base": str(place), "platbase": str(place)}
        site = Path(sysconfig.get_path("purelib", vars=variables))
        for distribution in closure(*wanted).values():
            tops = {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}
            for top in tops - {"__pycache__"}:
                source, link = Path(str(distribution.locate_file(top))), site / top
                if source.exists() and not link.exists():
                    link.symlink_to(source)
        return place / "bin/python"

    return build


def pytest_in(python, folder, *options):
    (folder / "test_it.py").write_text(TEST)
    command = [python, "-m", "pytest", "-q", *options, "test_it.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.long
def test_pytest_works_in_an_environment_with_everything(environment, tmp_path):
    python = environment("equibench[all]", "pytest")
    done = pytest_in(python, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_beside_dival_pytest_works_as_the_documentation_says(tmp_path):
    pytest.importorskip("odl")
    documented = (Path(__file__).parents[2] / "docs/own-model.md").read_text()
    assert "`pytest -p no:odl_plugins`" in documented
    done = pytest_in(sys.executable, tmp_path, "-p", "no:odl_plugins")
    assert done.returncode == 0, done.stdout + done.stderr
