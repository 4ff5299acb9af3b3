"""LoDoPaB-CT: its files, and the filtered back projections that it starts from."""

import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from suite_files import psnr, truncate

from equibench.errors import DataError, UsageError
from equibench.suites import fbp
from equibench.suites.lodopab import LoDoPaB
from equibench.suites.samples.images import CTSample


def write_images(path, count, size=8, start=0):
    """Images whose pixels all equal their number plus their position / 1000."""
    ramp = np.arange(size * size, dtype=np.float32).reshape(size, size) / 1000
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(start, start + count, dtype=np.float32)[:, None, None] + ramp


def test_files_hold_128_images_each_and_the_crop_is_central(tmp_path):
    write_images(tmp_path / "ground_truth_test_000.hdf5", 128)
    write_images(tmp_path / "ground_truth_test_001.hdf5", 3, start=128)
    with h5py.File(tmp_path / "ground_truth_test_001.hdf5") as file:
        second = file["data"][:]
    np.save(tmp_path / "fbp_test.npy", np.concatenate([np.zeros((128, 8, 8), np.float32), -second]))
    suite = LoDoPaB(root=str(tmp_path), size=6)
    names = suite.cases()
    assert len(names) == 131
    assert names[126:130] == ["00126", "00127", "00128", "00129"]
    case = suite.load("00129")
    assert case.input.shape == case.target.shape == (1, 1, 6, 6)
    assert np.array_equal(case.target[0, 0].numpy(), second[1, 1:7, 1:7])
    assert torch.equal(case.input, -case.target)


def test_a_broken_file_stops_only_its_own_images(tmp_path):
    write_images(tmp_path / "ground_truth_test_000.hdf5", 128)
    truncate(tmp_path / "ground_truth_test_000.hdf5")
    write_images(tmp_path / "ground_truth_test_001.hdf5", 1)
    np.save(tmp_path / "fbp_test.npy", np.zeros((129, 8, 8), np.float32))
    suite = LoDoPaB(root=str(tmp_path), size=8)
    assert len(suite.cases()) == 129
    assert suite.load("00128").target is not None
    with pytest.raises(DataError, match=r"^truncated or not HDF5: .*ground_truth_test_000.hdf5 "):
        suite.load("00127")


def test_a_truncated_cache_of_fbps_is_named(tmp_path):
    write_images(tmp_path / "ground_truth_test_000.hdf5", 2)
    np.save(tmp_path / "fbp_test.npy", np.zeros((2, 8, 8), np.float32))
    truncate(tmp_path / "fbp_test.npy")
    with pytest.raises(DataError, match=r"^truncated or no array: .*fbp_test.npy .*delete it"):
        LoDoPaB(root=str(tmp_path), size=8).load("00000")


def test_a_crop_larger_than_the_images_is_a_usage_error(tmp_path):
    write_images(tmp_path / "ground_truth_test_000.hdf5", 1)
    np.save(tmp_path / "fbp_test.npy", np.zeros((1, 8, 8), np.float32))
    with pytest.raises(UsageError, match=r"^suite 'lodopab': size=9 exceeds the images, \(8, 8\)$"):
        LoDoPaB(root=str(tmp_path), size=9).load("00000")


def test_without_fbps_and_observations_the_remedy_is_given(tmp_path):
    write_images(tmp_path / "ground_truth_test_000.hdf5", 1)
    with pytest.raises(UsageError) as caught:
        LoDoPaB(root=str(tmp_path), size=8).load("00000")
    assert str(caught.value) == (
        "suite 'lodopab' has neither fbp_test.npy nor observation_test_*.hdf5 in "
        f"{tmp_path}; unpack observation_test.zip there"
    )


def test_without_astra_the_pip_command_is_given(tmp_path, monkeypatch):
    write_images(tmp_path / "ground_truth_test_000.hdf5", 1)
    write_images(tmp_path / "observation_test_000.hdf5", 1)
    monkeypatch.setitem(sys.modules, "astra", None)
    with pytest.raises(UsageError, match=r"needs astra .*; pip install 'equibench\[ct\]'$"):
        LoDoPaB(root=str(tmp_path), size=8).load("00000")
    assert not list(tmp_path.glob("*.npy"))


@pytest.fixture
def scan(tmp_path):
    """Two packaged CT slices at 91×91 with noiseless observations of 120 angles."""
    pytest.importorskip("dival")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odl 0.8 uses old NumPy names
        import odl

        space = odl.uniform_discr([-0.13, -0.13], [0.13, 0.13], (91, 91), dtype=np.float32)
        geometry = odl.tomo.parallel_beam_geometry(space, num_angles=120, det_shape=(131,))
        project = odl.tomo.RayTransform(space, geometry, impl="skimage")
        with h5py.File(Path(CTSample().root) / "ground_truth_test_000.hdf5") as file:
            truth = file["data"][:9:8, ::4, ::4]
        observations = np.stack([np.asarray(project(image)) for image in truth])
    with h5py.File(tmp_path / "ground_truth_test_000.hdf5", "w") as file:
        file["data"] = truth
    with h5py.File(tmp_path / "observation_test_000.hdf5", "w") as file:
        file["data"] = observations
    return tmp_path


def test_fbps_are_computed_once_and_beside_the_data(scan, monkeypatch):
    suite = LoDoPaB(root=str(scan), size=88)
    assert suite.cases() == ["00000", "00001"]
    assert min(psnr(suite.load(name)) for name in suite.cases()) > 22
    assert sorted(path.name for path in scan.iterdir()) == [
        "fbp_test.npy",
        "ground_truth_test_000.hdf5",
        "observation_test_000.hdf5",
    ]
    monkeypatch.setattr(fbp, "reconstructor", None)
    assert suite.prepare() == scan / "fbp_test.npy"
    assert LoDoPaB(root=str(scan), size=88).load("00001").input.shape == (1, 1, 88, 88)


def test_fbps_are_those_of_dival_up_to_rounding(scan):
    pytest.importorskip("dival")
    images = np.load(LoDoPaB(root=str(scan)).prepare())
    assert images.dtype == np.float32
    with h5py.File(scan / "observation_test_000.hdf5") as file:
        observations = file["data"][:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import odl
        from dival.reconstructors.odl_reconstructors import FBPReconstructor

        space = odl.uniform_discr([-0.13, -0.13], [0.13, 0.13], (91, 91), dtype=np.float32)
        geometry = odl.tomo.parallel_beam_geometry(space, num_angles=120, det_shape=(131,))
        invert = FBPReconstructor(
            odl.tomo.RayTransform(space, geometry, impl="astra_cpu"),
            hyper_params={"filter_type": "Hann", "frequency_scaling": 0.641},
        )
        expected = np.stack([np.asarray(invert.reconstruct(each)) for each in observations])
    difference = np.square(images - expected, dtype=np.float64).sum()
    # sums over 120 angles in float32, in another order
    assert difference <= 120 * np.finfo(np.float32).eps ** 2 * np.square(expected).sum()


def test_fbps_of_a_read_only_folder_go_to_the_cache(scan, built, monkeypatch):
    monkeypatch.setattr(fbp.os, "access", lambda *_: False)
    path = LoDoPaB(root=str(scan)).prepare()
    assert path.is_relative_to(built)
    assert fbp.find_fbp(scan, "test") == path
    assert not (scan / "fbp_test.npy").exists()


def test_an_image_without_observation_is_reported_and_the_others_are_not(scan, caplog):
    write_images(scan / "ground_truth_test_001.hdf5", 1, size=91)
    suite = LoDoPaB(root=str(scan), size=88)
    suite.load("00000")
    missing = scan / "observation_test_001.hdf5"
    assert (
        f"no FBP for 126 images: {scan / 'observation_test_000.hdf5'} holds too few" in caplog.text
    )
    assert f"no FBP for 1 images: no such file: {missing}" in caplog.text
    with pytest.raises(DataError) as caught:
        suite.load("00128")
    assert str(caught.value) == (
        f"no FBP for image 00128 in {scan / 'fbp_test.npy'}; "
        "mend observation_test_001.hdf5, delete that file and run again"
    )


def test_verify_names_a_file_with_numbers_that_are_not_finite(tmp_path):
    path = tmp_path / "ground_truth_test_000.hdf5"
    write_images(path, 2, size=362)
    with h5py.File(path, "r+") as file:
        file["data"][1, 0, 0] = np.nan
    (broken,) = LoDoPaB(root=str(tmp_path)).verify().broken
    assert broken.reason == f"image 1 of {path} is not finite; fetch the file again"


def test_verify_reads_lodopab_to_the_end(tmp_path):
    write_images(tmp_path / "ground_truth_test_000.hdf5", 2, size=362)
    write_images(tmp_path / "ground_truth_test_001.hdf5", 2, size=8)
    truncate(tmp_path / "ground_truth_test_000.hdf5")
    report = LoDoPaB(root=str(tmp_path)).verify()
    counts = {part.name: (part.found, part.expected) for part in report.parts}
    assert counts["ground_truth_test"] == (0, 3553)
    assert counts["observation_train"] == (0, 35820)
    assert "truncated" in report.broken[0].reason
    assert report.broken[1].reason == (
        f"data (2, 8, 8) in {tmp_path / 'ground_truth_test_001.hdf5'} should be "
        "(1 to 128, 362, 362)"
    )
