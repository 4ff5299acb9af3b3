"""fastMRI: what its loader makes of files, and what it says of broken ones."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from suite_files import truncate

from equibench.errors import DataError
from equibench.suites.fastmri import FastMRI
from equibench.suites.noise import Noise
from equibench.suites.samples.images import CTSample, MRISample, PhotoSample


@pytest.fixture
def mri(tmp_path):
    """A miniature fastMRI folder: two volumes of random k-space, PD and PDFS."""
    folder = tmp_path / "singlecoil_val"
    folder.mkdir()
    for seed, (name, acquisition) in enumerate([("b", "CORPD_FBK"), ("a", "CORPDFS_FBK")]):
        write_volume(folder / f"{name}.h5", acquisition, seed)
    return tmp_path


def write_volume(path, acquisition="CORPD_FBK", seed=0, slices=2):
    random = np.random.default_rng(seed)
    parts = random.standard_normal((2, slices, 640, 368)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["kspace"] = parts[0] + 1j * parts[1]
        file["reconstruction_esc"] = random.random((slices, 320, 320), dtype=np.float32) * 10
        file["ismrmrd_header"] = "<header/>"
        file.attrs.update(acquisition=acquisition, max=10.0, norm=1.0, patient_id="p")


@pytest.mark.slow
def test_inputs_equal_those_of_fastmri_bit_for_bit():
    from fastmri.data.mri_data import SliceDataset
    from fastmri.data.subsample import RandomMaskFunc
    from fastmri.data.transforms import UnetDataTransform

    suite = MRISample()
    transform = UnetDataTransform("singlecoil", RandomMaskFunc([0.08], [4]), use_seed=True)
    theirs = SliceDataset(Path(suite.root) / "singlecoil_val", "singlecoil", transform)
    ours = [suite.load(name) for name in suite.cases()]
    assert len(ours) == len(theirs) == 18
    for case, sample in zip(ours, theirs, strict=True):
        assert torch.equal(case.input[0, 0], sample.image)
        normalised = (case.target - case.offset) / (case.scale + 1e-11)
        assert torch.equal(normalised[0, 0].clamp(-6, 6), sample.target)


def test_a_volume_stacks_its_slices_and_keeps_the_target_in_its_own_units(mri):
    case = FastMRI(root=str(mri)).load("a")
    assert case.input.shape == case.target.shape == (2, 1, 320, 320)
    assert case.input.dtype == case.target.dtype == torch.float32
    assert case.scale.shape == case.offset.shape == (2,)
    with h5py.File(mri / "singlecoil_val" / "a.h5") as file:
        assert np.array_equal(case.target[:, 0].numpy(), file["reconstruction_esc"][:])


def test_groups_are_pd_and_pdfs(mri):
    write_volume(mri / "singlecoil_val" / "c.h5", "AXT2")
    suite = FastMRI(root=str(mri))
    assert suite.cases() == ["a", "b", "c"]
    assert [suite.load(name).group for name in suite.cases()] == ["PDFS", "PD", "AXT2"]


def test_the_mask_depends_on_the_file_name_alone(mri):
    folder = mri / "singlecoil_val"
    (folder / "copy.h5").write_bytes((folder / "a.h5").read_bytes())
    suite = FastMRI(root=str(mri))
    before = suite.load("a").input
    assert not torch.equal(suite.load("copy").input, before)
    torch.manual_seed(1)
    assert torch.equal(FastMRI(root=str(mri)).load("a").input, before)


def test_listing_volumes_opens_none_of_them(mri):
    (mri / "singlecoil_val" / "broken.h5").write_bytes(b"")
    suite = FastMRI(root=str(mri))
    assert suite.cases() == ["a", "b", "broken"]
    assert suite.load("a").group == "PDFS"


def test_a_truncated_volume_is_named(mri):
    path = mri / "singlecoil_val" / "a.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(DataError) as caught:
        FastMRI(root=str(mri)).load("a")
    assert str(caught.value) == (
        f"truncated or not HDF5: {path} (Unable to synchronously open file "
        "(file signature not found)); fetch the file again"
    )


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda file: file.__delitem__("reconstruction_esc"),
            "no dataset 'reconstruction_esc' in {path}; it holds ismrmrd_header, kspace",
        ),
        (
            lambda file: file.attrs.__delitem__("acquisition"),
            "no attribute 'acquisition' in {path}; it has max, norm, patient_id",
        ),
    ],
)
def test_what_a_volume_lacks_is_named(mri, break_it, message):
    path = mri / "singlecoil_val" / "a.h5"
    with h5py.File(path, "a") as file:
        break_it(file)
    with pytest.raises(DataError) as caught:
        FastMRI(root=str(mri)).load("a")
    assert str(caught.value) == message.format(path=path)


def test_an_absent_case_is_named(mri):
    with pytest.raises(DataError, match=r"^no such file: .*singlecoil_val/zebra.h5$"):
        FastMRI(root=str(mri)).load("zebra")


def test_the_configuration_holds_what_changes_numbers_and_no_path(mri):
    assert FastMRI(root=str(mri)).configuration == {
        "split": "val",
        "acceleration": 4,
        "center_fraction": 0.08,
        "per_slice": False,
    }
    assert CTSample().configuration == {"part": "test", "size": 352}
    assert PhotoSample(n=3).configuration == {"split": "val", "n": 3}
    assert Noise().configuration == {"n": 32, "size": 320, "sigma": 1000.0}


def test_verify_counts_slices_and_names_every_broken_volume(mri):
    folder = mri / "singlecoil_val"
    truncate(folder / "a.h5")
    write_volume(folder / "c.h5")
    with h5py.File(folder / "c.h5", "a") as file:
        del file.attrs["norm"]
    report = FastMRI(root=str(mri)).verify()
    assert not report.ok
    assert [(part.name, part.files, part.found, part.expected) for part in report.parts] == [
        ("singlecoil_train", 0, 0, 34742),
        ("singlecoil_val", 3, 2, 7135),
    ]
    assert [broken.path.name for broken in report.broken] == ["a.h5", "c.h5"]
    assert report.broken[0].reason.startswith("truncated or not HDF5: ")
    assert report.broken[1].reason.startswith("no attribute 'norm' in ")
