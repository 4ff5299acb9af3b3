"""What the distributions hold: the rooms under one import name, and nothing else."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The tracked files, copied, so that building leaves no trace in the checkout."""
    target = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())
    return target


@pytest.fixture(scope="module")
def dist(checkout, tmp_path_factory):
    """An sdist, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, checkout]
    subprocess.run(build, check=True, capture_output=True)
    return out


def test_the_wheel_makes_nothing_but_equibench_importable(dist):
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "equibench",
        f"{wheel.name.rsplit('-', 3)[0]}.dist-info",
    }
    wanted = [
        "equibench/py.typed",
        "equibench/quickstart.toml",
        "equibench/troubleshooting.md",
        "equibench/models/polyphase.py",
        "equibench/suites/data/mri.npz",
        "equibench/suites/data/LICENSE-pyradiomics.txt",
        "equibench/suites/data/README.md",
        "equibench/reports/page/templates/page.html",
        "equibench/results/paper/table1_mri.csv",
    ]
    assert [name for name in wanted if name not in names] == []
    assert not [name for name in names if "/results/runs/" in name or "/test_" in name]


def test_the_sdist_has_all_that_the_wheel_is_made_of(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"harness/cli.py", "suites/data/ct.npz", "LICENSE", "pyproject.toml"} <= names


def test_an_editable_install_works(checkout, tmp_path):
    """In an environment that sees the libraries installed here."""
    venv.create(tmp_path / "env", with_pip=False, system_site_packages=False)
    python = tmp_path / "env/bin/python"
    (packages,) = (tmp_path / "env/lib").glob("python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
               "--no-build-isolation", "--target", packages, "--editable", checkout]  # fmt: skip
    subprocess.run(install, check=True, capture_output=True)
    code = "import equibench, equibench.registry.registries as r; print(equibench.__file__)"
    shown = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    assert Path(shown.stdout.strip()).resolve().is_relative_to(checkout.resolve())
