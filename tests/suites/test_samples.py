"""The embedded suites: noise, and samples in the layouts of the real data."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from suite_files import psnr

from equibench.cases.suite import Case
from equibench.errors import DataError
from equibench.suites.fastmri import FastMRI
from equibench.suites.imagenet import ImageNet
from equibench.suites.lodopab import LoDoPaB
from equibench.suites.noise import Noise
from equibench.suites.reading import files
from equibench.suites.samples.images import CTSample, MRISample, PhotoSample

SAMPLES = [MRISample, CTSample, PhotoSample]


def reconstruction_ssim(case: Case) -> float:
    zero_filled = case.input * case.scale + case.offset
    target = case.target[0, 0].numpy()
    return structural_similarity(target, zero_filled[0, 0].numpy(), data_range=target.max())


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


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_are_built_once_and_need_no_data(sample, monkeypatch):
    assert sample.unavailable() is None
    first = sample()
    before = first.load(first.cases()[0]).input

    def rebuild(*_):
        raise AssertionError("built twice")

    for builder in ("build_mri", "build_ct", "build_photos"):
        monkeypatch.setattr(f"equibench.suites.samples.images.{builder}", rebuild)
    assert torch.equal(sample().load(first.cases()[0]).input, before)


@pytest.mark.slow
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


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_samples_are_complete(sample):
    report = sample().verify()
    assert report.ok
    assert report.broken == ()
    assert all(part.found == part.expected for part in report.parts)


def test_drawn_slices_follow_from_seed_and_number_alone():
    pytest.importorskip("nilearn")
    suite = MRISample(split="train")
    first, again = suite.draw(0, 3), MRISample().draw(0, 3)
    assert torch.equal(first.input, again.input)
    assert torch.equal(first.target, again.target)
    for seed, number in ((0, 4), (1, 3)):
        assert not torch.equal(first.input, suite.draw(seed, number).input)


@pytest.mark.slow
def test_drawn_slices_are_undersampled_as_the_suite_s_own_are():
    pytest.importorskip("nilearn")
    suite = MRISample(split="train")
    own = [suite.load(name) for name in suite.cases()]
    drawn = [suite.draw(0, number) for number in range(len(own))]
    for case in drawn:
        assert case.input.shape == case.target.shape == (1, 1, 320, 320)
        assert case.input.dtype == case.target.dtype == torch.float32
        assert case.input.abs().max() <= suite.clamp
    ours, theirs = (np.mean([reconstruction_ssim(c) for c in cases]) for cases in (drawn, own))
    assert ours == pytest.approx(theirs, abs=0.1)
