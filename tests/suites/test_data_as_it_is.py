"""Files as they lie on people's disks: each is read for what it is, or named."""

import h5py
import numpy as np
import pytest
from PIL import Image

from equibench.errors import DataError
from equibench.suites.fastmri import FastMRI
from equibench.suites.imagenet import ImageNet
from equibench.suites.reading.files import hdf5_attribute, read_image, volume


def test_a_grey_image_in_16_bits_keeps_its_greys(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    read = np.asarray(read_image(tmp_path / "ramp.png"))[..., 0]
    assert np.abs(read - ramp / 257).max() <= 0.5


def test_an_image_that_pillow_refuses_is_named_by_load_and_verify(tmp_path, monkeypatch):
    (tmp_path / "val").mkdir()
    Image.new("L", (40, 40)).save(tmp_path / "val/bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    suite = ImageNet(root=str(tmp_path))
    with pytest.raises(DataError, match=r"^too large an image: .*bomb\.png .*make it smaller$"):
        suite.load("bomb.png")
    assert "bomb.png" in str(suite.verify().broken[0])


def test_hidden_files_are_no_images_and_no_volumes(tmp_path):
    (tmp_path / "val/.trash").mkdir(parents=True)
    (tmp_path / "singlecoil_val").mkdir()
    for name in ("a.png", "._a.png", ".trash/b.png"):
        Image.new("L", (8, 8)).save(tmp_path / "val" / name)
    for name in ("file1.h5", "._file1.h5"):
        (tmp_path / "singlecoil_val" / name).touch()
    assert ImageNet(root=str(tmp_path)).cases() == ["a.png"]
    assert FastMRI(root=str(tmp_path)).cases() == ["file1"]


def test_an_attribute_of_bytes_is_the_text_that_it_holds(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["acquisition"] = np.bytes_(b"CORPDFS_FBK")
        assert hdf5_attribute(file, "acquisition") == "CORPDFS_FBK"


@pytest.mark.parametrize(
    ("kspace", "target", "message"),
    [
        (np.zeros((2, 4, 8, 8), np.complex64), (2, 8, 8), "of one coil"),
        (np.zeros((2, 8, 8), [("re", "f4"), ("im", "f4")]), (2, 8, 8), "write it as complex64"),
        (np.zeros((2, 8, 8), np.complex64), None, "no dataset 'reconstruction_esc'"),
    ],
)
def test_k_space_that_is_not_of_one_coil_is_named_with_its_file(tmp_path, kspace, target, message):
    with h5py.File(tmp_path / "vol.h5", "w") as file:
        file["kspace"] = kspace
        if target:
            file["reconstruction_esc"] = np.zeros(target, np.float32)
        with pytest.raises(DataError) as caught:
            volume(file)
    assert message in str(caught.value)
    assert "vol.h5" in str(caught.value)


@pytest.fixture
def volumes(tmp_path):
    """A data root; call it with what is wrong with its one volume."""

    def write(spoil=lambda kspace, target: None, target=(2, 20, 20)):
        folder = tmp_path / "singlecoil_val"
        folder.mkdir()
        random = np.random.default_rng(0)
        kspace = random.normal(size=(2, 40, 36)).astype(np.complex64)
        truth = random.normal(size=target).astype(np.float32)
        spoil(kspace, truth)
        with h5py.File(folder / "vol.h5", "w") as file:
            file["kspace"], file["reconstruction_esc"] = kspace, truth
            file["ismrmrd_header"] = b"header"
            file.attrs.update(acquisition="CORPD_FBK", max=1.0, norm=1.0, patient_id="p")
        return FastMRI(root=str(tmp_path))

    return write


def not_finite(part):
    def spoil(kspace, target):
        (kspace if part == "kspace" else target)[1, 3, 3] = np.nan

    return spoil


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"spoil": not_finite("kspace")}, "slice 1 of kspace in "),
        ({"spoil": not_finite("target")}, "slice 1 of reconstruction_esc in "),
        ({"target": (2, 20, 38)}, "cannot be cropped: kspace is (40, 36), and "),
    ],
)
def test_verify_finds_what_a_run_would_stumble_over(volumes, fault, message):
    pytest.importorskip("fastmri")
    suite = volumes(**fault)
    with pytest.raises(DataError) as caught:
        suite.load("vol")
    (broken,) = suite.verify().broken
    assert str(broken) == str(caught.value)
    assert message in str(broken)
    assert "vol.h5" in str(broken)


def test_verify_finds_nothing_where_a_run_would_not_stumble(volumes):
    pytest.importorskip("fastmri")
    suite = volumes()
    assert suite.load("vol").input.shape == (2, 1, 20, 20)
    assert suite.verify().broken == ()
