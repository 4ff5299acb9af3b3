"""Our metrics are those of scikit-image and fastMRI, batched and in two frames."""

import numpy as np
import pytest
import torch
from fastmri import evaluate as fastmri
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from equibench.metrics.squared_error import nmse, psnr
from equibench.metrics.structural_similarity import ssim, ssim_columns
from equibench.suites.samples.images import CTSample, MRISample

RELATIVE = 1e-6


def random_pairs():
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(5, 1, 40, 56, generator=rng) * 3
    return a, a + 0.1 * torch.randn(a.shape, generator=rng)


def mri_pairs():
    cases = [MRISample().load(name) for name in MRISample().cases()[:4]]
    scale = torch.stack([case.scale for case in cases])[..., None, None]
    offset = torch.stack([case.offset for case in cases])[..., None, None]
    inputs = torch.cat([case.input for case in cases]) * scale + offset
    return torch.cat([case.target for case in cases]), inputs


def ct_pairs():
    cases = [CTSample().load(name) for name in CTSample().cases()[:4]]
    return torch.cat([case.target for case in cases]), torch.cat([case.input for case in cases])


@pytest.fixture(params=[random_pairs, mri_pairs, ct_pairs], ids=["random", "mri", "ct"])
def pairs(request):
    """References and predictions (B, 1, H, W) in float32, and their data ranges (B,)."""
    a, b = request.param()
    assert a.dtype == b.dtype == torch.float32
    return a, b, a.amax(dim=(1, 2, 3))


def planes(pairs):
    a, b, r = pairs
    return [(x[0].numpy(), y[0].numpy(), float(z)) for x, y, z in zip(a, b, r, strict=True)]


def test_nmse_is_scikit_image_s_squared(pairs):
    expected = [normalized_root_mse(a, b) ** 2 for a, b, _ in planes(pairs)]
    np.testing.assert_allclose(nmse(*pairs), expected, rtol=RELATIVE)


def test_psnr_is_scikit_image_s(pairs):
    expected = [peak_signal_noise_ratio(a, b, data_range=r) for a, b, r in planes(pairs)]
    np.testing.assert_allclose(psnr(*pairs), expected, rtol=RELATIVE)


def test_ssim_is_scikit_image_s(pairs):
    expected = [structural_similarity(a, b, data_range=r) for a, b, r in planes(pairs)]
    np.testing.assert_allclose(ssim(*pairs), expected, rtol=RELATIVE)


@pytest.mark.slow
def test_ssim_columns_is_scikit_image_s_with_columns_as_channels(pairs):
    expected = [
        structural_similarity(a, b, data_range=r, channel_axis=1) for a, b, r in planes(pairs)
    ]
    np.testing.assert_allclose(ssim_columns(*pairs), expected, rtol=RELATIVE)


@pytest.mark.slow
def test_ssim_in_float32_is_that_of_float64_within_1e_7_on_the_embedded_images():
    for a, b in (mri_pairs(), ct_pairs()):
        for near in (b, a + 1e-3 * (b - a)):
            r = a.amax(dim=(1, 2, 3))
            assert (ssim(a, near, r) - ssim(a.double(), near.double(), r)).abs().max() < 1e-7


def test_channels_are_averaged_as_scikit_image_averages_them():
    rng = np.random.default_rng(0)
    a = rng.random((3, 16, 20)).astype(np.float32)
    b = a + rng.normal(0, 0.1, a.shape).astype(np.float32)
    expected = structural_similarity(a, b, data_range=1.0, channel_axis=0)
    ours = ssim(torch.tensor(a)[None], torch.tensor(b)[None], 1.0)
    np.testing.assert_allclose(ours, [expected], rtol=RELATIVE)


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [(nmse, fastmri.nmse), (psnr, fastmri.psnr), (ssim, fastmri.ssim)],
    ids=["nmse", "psnr", "ssim"],
)
def test_sums_over_a_volume_give_fastmri_s_volume_metrics(pairs, metric, theirs):
    a, b, _ = pairs
    r = a.amax()
    prepared = metric.prepare(a, r.expand(len(a)))
    ours = metric.value(metric.partials(prepared, b, None).sum(dim=0), r)
    # in float32 fastMRI's own sums are off by up to 4e-6 on these volumes
    expected = theirs(a[:, 0].double().numpy(), b[:, 0].double().numpy())
    np.testing.assert_allclose(float(ours), np.asarray(expected).item(), rtol=RELATIVE)


@pytest.mark.parametrize("metric", [nmse, psnr, ssim, ssim_columns], ids=lambda m: m.name)
def test_the_reference_frame_is_the_metric_of_the_rolled_pair(metric):
    a, b = random_pairs()
    r = torch.ones(len(a), dtype=torch.float64)
    shifts = torch.tensor([[3, -5], [0, 0], [39, 1], [-16, 15], [20, 28]])
    rolled = [
        torch.stack(
            [torch.roll(x, tuple(k), (-2, -1)) for x, k in zip(t, shifts.tolist(), strict=True)]
        )
        for t in (a, b)
    ]
    canonical = metric.value(metric.partials(metric.prepare(a, r), b, -shifts), r)
    np.testing.assert_allclose(canonical, metric(*rolled, 1.0), rtol=1e-12)


def test_one_reference_serves_a_batch_of_predictions():
    a, b = random_pairs()
    for metric in (nmse, psnr, ssim):
        r = torch.ones(1, dtype=torch.float64)
        shared = metric.value(metric.partials(metric.prepare(a[:1], r), b, None), r)
        torch.testing.assert_close(shared, metric(a[:1].expand_as(b), b, 1.0))


def test_errors_far_below_float32_are_resolved():
    a = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    b = a.clone()
    b[0, 0, 0, 0] += 1e-13
    assert float(nmse(a, b, 1.0)) == pytest.approx(1e-26 / 64, rel=1e-2)


def test_nmse_at_zero_is_zero_infinite_and_never_nan():
    zero, one = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    assert nmse(zero, zero, 1.0).tolist() == [0.0]
    assert nmse(zero, one, 1.0).tolist() == [float("inf")]
    assert nmse(one, one, 1.0).tolist() == [0.0]


def test_equal_images_have_infinite_psnr_and_an_ssim_of_one():
    one = torch.ones(1, 1, 8, 8)
    assert psnr(one, one, 1.0).tolist() == [float("inf")]
    assert ssim(one, one, 1.0).tolist() == [1.0]
    assert ssim(0 * one, 0 * one, 0.0).tolist() == [1.0]


def test_a_squared_error_of_one_is_like_any_other():
    a, b = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    b[0, 0, 2, 3] = 1
    assert psnr(a, b, 1.0).tolist() == pytest.approx([10 * np.log10(64)])


def test_nan_stays_nan():
    a = torch.ones(1, 1, 8, 8)
    b = a.clone()
    b[0, 0, 3, 3] = torch.nan
    for metric in (nmse, psnr, ssim):
        assert metric(a, b, 1.0).isnan().all()
