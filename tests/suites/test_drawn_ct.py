"""CT images that are drawn to train on: made-up chests, scanned nearly as LoDoPaB-CT's are."""

import numpy as np
import pytest
import torch

from equibench.foundation.seeds import generator
from equibench.suites.samples import drawn_ct
from equibench.suites.samples.build import packaged
from equibench.suites.samples.chest_phantoms import attenuation, hounsfield, phantom
from equibench.suites.samples.images import CTSample

pytestmark = pytest.mark.slow

NOISE = 0.01


def test_hounsfield_units_are_as_lodopab_defines_them():
    assert attenuation(np.array([0.0, -1000.0])) == pytest.approx([20 / 81.36, 0.02 / 81.36])
    inside = np.array([-900.0, -100.0, 40.0, 1500.0])
    assert hounsfield(attenuation(inside)) == pytest.approx(inside)
    assert attenuation(np.array([-2000.0, 9000.0])).tolist() == [0, 1]


def test_a_phantom_follows_from_its_seed_alone():
    assert np.array_equal(phantom(3, 64), phantom(3, 64))
    assert not np.array_equal(phantom(3, 64), phantom(4, 64))


@pytest.mark.parametrize("seed", range(4))
def test_a_phantom_has_air_and_lung_and_soft_tissue_and_bone(seed):
    density = hounsfield(phantom(seed, 128))
    for low, high in ((-1001, -950), (-900, -600), (-50, 120), (200, 1000)):
        assert ((density > low) & (density < high)).mean() > 0.002


@pytest.fixture
def bodies(monkeypatch, tmp_path):
    """Eighteen bodies with noise instead of scans, in a cache of their own."""
    monkeypatch.setenv("EQUIBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(drawn_ct, "BODIES", 18)
    scanned = []

    def noisy(body, name, photons):
        scanned.append(name)
        noise = generator(name).standard_normal(body.shape) * NOISE
        return (body + noise).astype(np.float32)

    monkeypatch.setattr(drawn_ct, "scan", noisy)
    return scanned


def test_bodies_are_scanned_twice_and_kept(bodies):
    drawn_ct.drawn_scan(0, 0)
    assert len(bodies) == len(set(bodies)) == 36
    drawn_ct.drawn_scan(0, 1)
    assert len(bodies) == 36


def test_drawn_images_follow_from_seed_and_number_and_differ_in_body_and_dose(bodies):
    suite = CTSample(part="train")
    first = suite.draw(0, 3)
    assert first.input.shape == first.target.shape == (1, 1, 352, 352)
    again = suite.draw(0, 3)
    assert torch.equal(first.input, again.input)
    assert torch.equal(first.target, again.target)
    drawn = [suite.draw(0, number) for number in range(40)]
    assert len({float(case.target.sum()) for case in drawn}) > 10
    noise = np.array([float((case.input - case.target).std()) for case in drawn]) / NOISE
    # a + t (b − a) has noise of √((1 − t)² + t²): least halfway, most at the ends
    least, most = np.sqrt(0.5), np.hypot(1 + drawn_ct.BEYOND, drawn_ct.BEYOND)
    assert noise.min() > least * 0.98
    assert noise.max() < most * 1.02
    assert np.ptp(noise) > 0.5 * (most - least)


def test_half_of_the_drawn_images_are_of_the_samples_own_patient(bodies):
    patient = packaged("ct.npz")["ground_truth_train"] * packaged("ct.npz")["scale"]
    own = {float(np.float32(body).sum(dtype=np.float64)) for body in patient.astype(np.float32)}
    drawn = [drawn_ct.drawn_scan(0, number)[1] for number in range(60)]
    share = np.mean([float(body.sum(dtype=np.float64)) in own for body in drawn])
    assert 0.3 < share < 0.7


def test_a_scan_has_the_noise_that_the_packaged_one_has():
    pytest.importorskip("astra")
    arrays = packaged("ct.npz")
    body, low = (arrays[k][0] * arrays["scale"] for k in ("ground_truth_train", "fbp_train"))
    mine = drawn_ct.scan(body.astype(np.float32), "a", drawn_ct.PHOTONS) - body
    theirs = low - body
    assert mine.std() == pytest.approx(theirs.std(), rel=0.05)


def test_with_fewer_photons_one_patient_has_the_error_that_the_other_has():
    pytest.importorskip("astra")
    arrays = packaged("ct.npz")
    body = {p: arrays[f"ground_truth_{p}"] * arrays["scale"] for p in ("train", "test")}
    low = {p: arrays[f"fbp_{p}"] * arrays["scale"] for p in body}
    error = {p: float(((low[p] - body[p]) ** 2).mean()) for p in body}
    assert error["test"] > 2 * error["train"]
    few = [x.astype(np.float32) for x in body["train"][::4]]
    scans = [drawn_ct.scan(x, number, drawn_ct.FEWER) for number, x in enumerate(few)]
    fewer = float(((np.array(scans) - few) ** 2).mean())
    assert fewer == pytest.approx(error["test"], rel=0.3)
