"""SSIM with a cached reference, a pair at a time, beside scikit-image and torchmetrics."""

import pytest
import torch
from race import race
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from equibench.metrics.structural_similarity import ssim


@pytest.mark.parametrize("size", [320, 352])
def test_ssim_of_a_pair(benchmark, report, size):
    random = torch.Generator().manual_seed(0)
    a = torch.rand(1, 1, size, size, generator=random)
    b = a + 0.1 * torch.randn(a.shape, generator=random)
    x, y = (image[0, 0].numpy() for image in (a, b))
    with torch.inference_mode():
        data_range = torch.ones(1, dtype=torch.float64)
        reference = ssim.prepare(a, data_range)
        runners = {
            "ours": lambda: ssim.partials(reference, b, None),
            "scikit_image": lambda: structural_similarity(x, y, data_range=1.0),
            "torchmetrics": lambda: structural_similarity_index_measure(
                b, a, gaussian_kernel=False, kernel_size=7, data_range=1.0
            ),
        }
        found = ssim.value(runners["ours"](), data_range)
        assert found.item() == pytest.approx(runners["scikit_image"](), rel=1e-6)
        times = race(runners, rounds=50)
        benchmark(runners["ours"])
    report(
        milliseconds=1000 * times.seconds("ours"),
        times_as_fast_as_scikit_image=times.ratio("scikit_image", "ours"),
        times_as_fast_as_torchmetrics=times.ratio("torchmetrics", "ours"),
    )
