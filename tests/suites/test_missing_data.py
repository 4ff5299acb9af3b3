"""Suites without data or with wrong arguments say what to do; importing them costs nothing."""

import subprocess
import sys

import pytest

from equibench.errors import UsageError
from equibench.suites.fastmri import FastMRI
from equibench.suites.imagenet import ImageNet
from equibench.suites.lodopab import LoDoPaB
from equibench.suites.noise import Noise


@pytest.mark.parametrize(
    ("suite", "example"),
    [
        (FastMRI, "singlecoil_val"),
        (LoDoPaB, "ground_truth_test_000.hdf5"),
        (ImageNet, "val"),
    ],
)
def test_without_data_the_remedy_is_given(suite, example, tmp_path, monkeypatch):
    name = suite.name
    remedy = f": set EQUIBENCH_DATA=DIR (with DIR/{name}/{example}) or pass --data {name}=DIR"
    assert suite.unavailable() == f"no data{remedy}"
    with pytest.raises(UsageError) as caught:
        suite().cases()
    assert str(caught.value) == f"suite {name!r} has no data{remedy}"
    with pytest.raises(UsageError) as caught:
        suite(root=str(tmp_path / "gone")).cases()
    assert str(caught.value) == f"suite {name!r} has no data in {tmp_path / 'gone'}{remedy}"

    monkeypatch.setenv("EQUIBENCH_DATA", str(tmp_path))
    (tmp_path / name).mkdir()
    assert suite.unavailable() is None
    with pytest.raises(UsageError, match=f"^suite {name!r} finds no "):
        suite().cases()


def test_an_unknown_split_gets_the_closest_one():
    with pytest.raises(UsageError) as caught:
        LoDoPaB(part="tets")
    assert str(caught.value) == (
        "suite 'lodopab' has no part 'tets'. Did you mean test? There are: train, validation, test"
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda: FastMRI(acceleration=0),
        lambda: FastMRI(center_fraction=1.5),
        lambda: LoDoPaB(size=0),
        lambda: ImageNet(n=0),
        lambda: Noise(n=0),
    ],
)
def test_arguments_out_of_range_are_usage_errors(build):
    with pytest.raises(UsageError, match="must be at least 1"):
        build()


def test_importing_the_suites_imports_no_library_of_a_data_set():
    heavy = ("fastmri", "dival", "odl", "astra", "timm", "torchvision", "h5py", "skimage", "PIL")
    heavy += ("nibabel", "nilearn", "pydicom", "tifffile")
    code = (
        "import importlib, pkgutil, sys, equibench.suites as room\n"
        "for module in pkgutil.walk_packages(room.__path__, 'equibench.suites.'):\n"
        "    importlib.import_module(module.name)\n"
        f"print(*(name for name in {heavy} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
