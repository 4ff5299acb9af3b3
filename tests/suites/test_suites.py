"""The suites give the paper's inputs, the samples give the real suites' layouts, and bad data
is named."""

import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from equibench.cases.suite import Case
from equibench.errors import DataError, UsageError
from equibench.suites import fbp, files
from equibench.suites.fastmri import FastMRI
from equibench.suites.imagenet import ImageNet
from equibench.suites.lodopab import LoDoPaB
from equibench.suites.noise import Noise
from equibench.suites.samples import CTSample, MRISample, PhotoSample

SAMPLES = [MRISample, CTSample, PhotoSample]


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A cache folder in which the samples are built once for all tests."""
    return tmp_path_factory.mktemp("equibench-cache")


@pytest.fixture(autouse=True)
def _own_folders(built, monkeypatch):
    monkeypatch.setenv("EQUIBENCH_CACHE", str(built))
    monkeypatch.delenv("EQUIBENCH_DATA", raising=False)

    def prompt(*_):
        raise AssertionError("a suite asked a question on standard input")

    monkeypatch.setattr("builtins.input", prompt)


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


def write_images(path, count, size=8, start=0):
    """Images whose pixels all equal their number plus their position / 1000."""
    ramp = np.arange(size * size, dtype=np.float32).reshape(size, size) / 1000
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(start, start + count, dtype=np.float32)[:, None, None] + ramp


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def reconstruction_ssim(case: Case) -> float:
    zero_filled = case.input * case.scale + case.offset
    target = case.target[0, 0].numpy()
    return structural_similarity(target, zero_filled[0, 0].numpy(), data_range=target.max())


# fastMRI


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


# missing data, wrong arguments


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


# LoDoPaB


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


def psnr(case: Case) -> float:
    span = case.target.max() - case.target.min()
    return float(10 * torch.log10(span**2 / (case.target - case.input).square().mean()))


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


# ImageNet


def save_photo(path, colour=(255, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (300, 280), colour).save(path)


def test_images_come_in_sorted_folder_order_and_n_takes_the_first(tmp_path):
    for name in ("n02/b.png", "n01/z.JPEG", "n01/a.png"):
        save_photo(tmp_path / "val" / name)
    (tmp_path / "val" / "n01" / "notes.txt").write_text("no image")
    suite = ImageNet(root=str(tmp_path))
    assert suite.cases() == ["n01/a.png", "n01/z.JPEG", "n02/b.png"]
    assert ImageNet(root=str(tmp_path), n=2).cases() == suite.cases()[:2]


def test_a_flat_folder_of_images_will_do(tmp_path):
    save_photo(tmp_path / "b.png")
    save_photo(tmp_path / "a.png")
    assert ImageNet(root=str(tmp_path)).cases() == ["a.png", "b.png"]


def test_images_are_normalised_before_they_turn_grey(tmp_path):
    save_photo(tmp_path / "red.png")
    case = ImageNet(root=str(tmp_path)).load("red.png")
    assert case.input.shape == (1, 1, 224, 224)
    assert case.target is None
    normalised = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    grey = np.dot([0.299, 0.587, 0.114], normalised)
    assert case.input.numpy() == pytest.approx(grey, abs=1e-3)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    save_photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content)
    suite = ImageNet(root=str(tmp_path))
    assert suite.cases() == ["a.png", "b.png"]
    with pytest.raises(DataError) as caught:
        suite.load("b.png")
    assert str(caught.value).startswith(f"truncated or no image: {tmp_path / 'b.png'} (")
    assert str(caught.value).endswith("; fetch the file again")


# noise


def test_noise_depends_on_the_name_alone():
    few, many = Noise(n=4, size=16), Noise(n=40, size=16)
    assert many.cases()[:4] == few.cases()
    later = many.load("00039")
    assert torch.equal(few.load("00003").input, many.load("00003").input)
    assert not torch.equal(later.input, few.load("00003").input)


def test_noise_is_standard_normal_times_sigma():
    case = Noise().load("00000")
    assert case.input.shape == (1, 1, 320, 320)
    assert case.input.std().item() == pytest.approx(1000, rel=0.02)
    assert case.input.mean().item() == pytest.approx(0, abs=20)
    assert torch.allclose(Noise(sigma=1.0).load("00000").input * 1000, case.input)


# samples


@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_are_built_once_and_need_no_data(sample, monkeypatch):
    assert sample.unavailable() is None
    first = sample()
    before = first.load(first.cases()[0]).input

    def rebuild(*_):
        raise AssertionError("built twice")

    for builder in ("build_mri", "build_ct", "build_photos"):
        monkeypatch.setattr(f"equibench.suites.samples.{builder}", rebuild)
    assert torch.equal(sample().load(first.cases()[0]).input, before)


@pytest.mark.parametrize(
    ("suite", "names"),
    [
        (lambda: MRISample(split="train"), 20),
        (MRISample, 18),
        (lambda: CTSample(part="train"), 16),
        (CTSample, 12),
        (PhotoSample, 12),
    ],
)
def test_a_sample_case_is_one_image_in_group_all(suite, names):
    suite = suite()
    assert len(suite.cases()) == len(set(suite.cases())) == names
    case = suite.load(suite.cases()[-1])
    assert case.group == "all"
    assert case.input.shape[:2] == (1, 1)
    assert case.input.isfinite().all()


def test_the_real_loader_reads_the_mri_sample():
    sample = MRISample()
    volume = FastMRI(root=sample.root).load("brain2")
    slices = [sample.load(name) for name in sample.cases()]
    assert sample.cases()[7] == "brain2:007"
    for field in ("input", "target", "scale", "offset"):
        stacked = torch.cat([getattr(case, field) for case in slices])
        assert torch.equal(stacked, getattr(volume, field))


@pytest.mark.parametrize(("sample", "real"), [(CTSample, LoDoPaB), (PhotoSample, ImageNet)])
def test_the_real_loader_reads_the_sample(sample, real):
    sample = sample()
    same = real(root=sample.root)
    assert same.cases() == sample.cases()
    name = sample.cases()[3]
    assert torch.equal(same.load(name).input, sample.load(name).input)


def test_zero_filled_mri_has_the_quality_that_was_aimed_at():
    suite = MRISample()
    values = [reconstruction_ssim(suite.load(name)) for name in suite.cases()]
    assert np.mean(values) == pytest.approx(0.65, abs=0.01)


def test_packaged_fbps_have_the_quality_that_was_measured():
    suite = CTSample()
    assert np.mean([psnr(suite.load(name)) for name in suite.cases()]) == pytest.approx(
        31.4, abs=0.1
    )


def test_the_sample_headers_tell_fastmri_the_sizes():
    from fastmri.data.mri_data import SliceDataset

    _, _, metadata = SliceDataset(Path(MRISample().root) / "singlecoil_train", "singlecoil")[0][1:4]
    assert metadata["encoding_size"] == (640, 368, 1)
    assert metadata["recon_size"] == (320, 320, 1)
    assert (metadata["padding_left"], metadata["padding_right"]) == (0, 368)


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "half").write_text("")
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError) as caught:
        files.build_once(tmp_path / "sample", fail)
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'sample'} (No space left on device); "
        "set EQUIBENCH_CACHE to a folder with space"
    )
    assert not list(tmp_path.iterdir())


def test_of_two_builds_at_once_the_first_wins(tmp_path):
    folder = tmp_path / "sample"

    def overtaken(building):
        (building / "who").write_text("second")
        files.build_once(folder, lambda other: (other / "who").write_text("first"))

    assert files.build_once(folder, overtaken) == folder
    assert (folder / "who").read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]


# verify


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_samples_are_complete(sample):
    report = sample().verify()
    assert report.ok
    assert report.broken == ()
    assert all(part.found == part.expected for part in report.parts)


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


def test_verify_decodes_every_photo(tmp_path):
    save_photo(tmp_path / "val" / "n01" / "a.png")
    Image.effect_noise((300, 280), 50).save(tmp_path / "val" / "n01" / "b.jpg")
    truncate(tmp_path / "val" / "n01" / "b.jpg")
    report = ImageNet(root=str(tmp_path)).verify()
    assert [(part.files, part.found, part.expected) for part in report.parts] == [(2, 1, 50000)]
    assert [broken.path.name for broken in report.broken] == ["b.jpg"]


# imports


def test_importing_the_suites_imports_no_library_of_a_data_set():
    modules = ("fastmri", "imagenet", "lodopab", "noise", "samples", "fbp", "build", "verify")
    heavy = ("fastmri", "dival", "odl", "timm", "torchvision", "h5py", "skimage", "PIL")
    code = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module('equibench.suites.' + name)\n"
        f"print(*(name for name in {heavy} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
