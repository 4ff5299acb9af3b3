"""The template is read from where it is installed, and says in one line what is missing."""

import importlib.util

import numpy as np
import pytest

from equibench.errors import DataError, UnavailableError
from equibench.suites.samples import mni152
from equibench.suites.samples.mni152 import SIDE, template_slices

pytest.importorskip("nilearn")


def test_every_slice_shows_a_brain_in_the_middle_of_a_black_square():
    slices = template_slices()
    assert slices.shape[1:] == (SIDE, SIDE)
    assert slices.dtype == np.float32
    assert slices.min() >= 0
    assert slices.max() == 1
    edge = np.concatenate([slices[:, 0], slices[:, -1], slices[:, :, 0], slices[:, :, -1]])
    assert not edge.any()
    assert (slices > 0).mean(axis=(1, 2)).min() >= 0.02, "none shows an edge alone"


@pytest.mark.slow
def test_matter_lies_where_the_brain_is():
    grey, white, brain = (template_slices(kind) for kind in ("gm", "wm", "t1"))
    assert brain[(grey > 0.5) | (white > 0.5)].min() > 0
    assert brain[white > 0.9].mean() > brain[grey > 0.9].mean(), "white matter is brighter in T1"


@pytest.mark.parametrize("missing", ["nilearn", "nibabel"])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(missing, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        mni152.importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    with pytest.raises(UnavailableError, match=rf"{missing}, which .* 'equibench\[train\]'"):
        template_slices.__wrapped__()


def test_a_release_without_the_volume_is_named(tmp_path, monkeypatch):
    package = importlib.util.find_spec("nibabel")  # any other one
    find = importlib.util.find_spec
    monkeypatch.setattr(
        mni152.importlib.util,
        "find_spec",
        lambda name: package if name == "nilearn" else find(name),
    )
    with pytest.raises(DataError, match=r"mni_icbm152_t1.* another release of nilearn"):
        template_slices.__wrapped__()
