"""Metrics of tiny and huge values, of odd data ranges, and of images that are too small."""

from math import ceil, fsum, log10, prod

import numpy as np
import pytest
import torch

from equibench.errors import UsageError
from equibench.metrics.chosen import metric_called
from equibench.metrics.metric import Metric, row_bands, row_sums
from equibench.metrics.squared_error import nmse, psnr
from equibench.metrics.structural_similarity import ssim, ssim_columns


def pair(dtype=torch.float32):
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(2, 1, 12, 20, generator=rng)
    return a.to(dtype), (a + 0.1 * torch.randn(a.shape, generator=rng)).to(dtype)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
@pytest.mark.parametrize("metric", [nmse, psnr, ssim, ssim_columns], ids=lambda m: m.name)
def test_metrics_do_not_depend_on_the_unit_of_the_images(metric, scale):
    """Squares of these values are beyond float32, which SSIM may be computed in."""
    a, b = pair()
    expected = metric(a, b, 1.0)
    torch.testing.assert_close(metric(scale * a, scale * b, scale), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("metric", [psnr, ssim, ssim_columns], ids=lambda m: m.name)
def test_a_negative_data_range_counts_by_its_size(metric):
    """The maximum of a reference that is negative everywhere."""
    a, b = pair()
    assert torch.equal(metric(-a, -b, -0.5), metric(-a, -b, 0.5))


def test_without_a_data_range_different_images_are_still_different():
    a, b = pair()
    assert (ssim(a, b, 0.0) < 0.99).all()
    assert torch.equal(ssim(a, a, 0.0), torch.ones(2, dtype=torch.float64))
    assert psnr(a, b, 0.0).tolist() == 2 * [float("-inf")]


def test_every_image_has_a_data_range_of_its_own():
    a, b = pair()
    r = torch.tensor([0.5, 2.0], dtype=torch.float64)
    for metric in (psnr, ssim):
        alone = torch.cat([metric(a[i : i + 1], b[i : i + 1], float(r[i])) for i in range(2)])
        torch.testing.assert_close(metric(a, b, r), alone)


def test_a_small_difference_keeps_its_digits_in_ssim():
    """1 − SSIM is quadratic in the difference."""
    a, b = pair(torch.float64)
    far, near = (1 - ssim(a, a + step * (b - a), 1.0) for step in (1e-4, 1e-6))
    torch.testing.assert_close(near, 1e-4 * far, rtol=1e-2, atol=0)


def test_every_metric_is_in_float64_whatever_the_images_are():
    a, b = pair(torch.float16)
    for metric in (nmse, psnr, ssim):
        found = metric(a, b, 1.0)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, metric(a.float(), b.float(), 1.0), rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("metric", "size", "message"),
    [
        (ssim, (6, 9), "SSIM needs images of at least 7×7 pixels, not 6×9"),
        (ssim, (9, 6), "SSIM needs images of at least 7×7 pixels, not 9×6"),
        (
            ssim_columns,
            (6, 9),
            "SSIM (columns) needs images of at least 7×1 pixels, not 6×9",
        ),
    ],
)
def test_an_image_smaller_than_the_window_is_refused(metric, size, message):
    image = torch.rand(1, 1, *size)
    with pytest.raises(UsageError) as refused:
        metric(image, image, 1.0)
    assert str(refused.value) == f"{message}: give it larger ones, or --metrics nmse,psnr"


@pytest.mark.parametrize("size", [(7, 7), (7, 12), (12, 7)])
def test_an_image_as_large_as_the_window_has_a_value(size):
    image = torch.rand(1, 1, *size)
    assert ssim(image, image, 1.0).tolist() == [1.0]
    assert ssim_columns(image[..., :1], image[..., :1], 1.0).tolist() == [1.0]


@pytest.fixture(params=[1, 3])
def cores(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 3, 5), (1, 2, 300, 701), (1, 3, 2048, 640), (1, 1, 4, 2**18), (1, 2, 40, 50, 64)],
)
def test_bands_are_all_rows_in_order_and_as_few_as_caches_take(shape, cores):
    """Of 2¹⁶ pixels for each core."""
    height, width = shape[2], prod(shape[3:])
    bands = [range(height)[band] for band in row_bands(torch.empty(shape))]
    assert [row for band in bands for row in band] == list(range(height))
    assert max((len(band) - 1) * width for band in bands) < 2**16 * cores
    assert len(bands) <= ceil(height * width / (2**16 * cores))


def test_a_device_of_its_own_takes_all_rows_at_once():
    assert row_bands(torch.empty(1, 1, 4096, 4096, device="meta")) == [slice(0, 4096)]


def test_a_data_range_keeps_its_digits_whatever_the_images_are():
    a, b = pair()
    error = float((a.double() - b.double()).square().mean(dim=(1, 2, 3))[0])
    assert psnr(a, b, 0.3)[0].item() == pytest.approx(10 * log10(0.3**2 / error), rel=1e-12)


def test_names_of_columns_have_no_dashes():
    assert ssim_columns.column == "ssim_columns"


def test_an_image_larger_than_what_is_worked_on_at_a_time_is_one_image():
    """Rows are compared band by band."""
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(1, 1, 300, 701, generator=rng, dtype=torch.float64)
    b = a + 0.1 * torch.randn(a.shape, generator=rng, dtype=torch.float64)
    error, energy = (b - a).square().sum(), a.square().sum()
    torch.testing.assert_close(nmse(a, b, 1.0)[0], error / energy, rtol=1e-12, atol=0)
    seam = torch.tensor([[130, 350]])
    r = torch.ones(1, dtype=torch.float64)
    moved = ssim.value(ssim.partials(ssim.prepare(a, r), b, seam), r)
    rolled = [torch.roll(x, (-130, -350), (-2, -1)) for x in (a, b)]
    torch.testing.assert_close(moved, ssim(*rolled, 1.0), rtol=1e-12, atol=0)


def test_long_rows_are_added_up_piece_by_piece_in_float64():
    random = torch.Generator().manual_seed(0)
    rows = torch.rand(2, 3, 2 * 2**14 + 5, generator=random, dtype=torch.float64)
    pieces = [rows[..., at : at + 2**14].sum(dim=-1) for at in (0, 2**14, 2**15)]
    assert torch.equal(row_sums(rows), torch.stack(pieces, dim=-1).sum(dim=-1))
    single = rows.float()
    exact = [[fsum(row) for row in image] for image in single.tolist()]
    assert torch.equal(row_sums(single), torch.tensor(exact, dtype=torch.float64))


class Distance(Metric):
    """Somebody's own metric, of what it was given to prepare."""

    name, title, format = "distance", "Distance", ".2f"
    higher_is_better, bounds = False, (0.0, float("inf"))

    def partials(self, prepared, prediction, origin):
        (reference,) = prepared
        assert reference.dtype == torch.float64
        return (reference - prediction).abs().sum(dim=(1, 2, 3))[:, None]

    def value(self, totals, data_range):
        return totals[..., 0]


def test_a_metric_of_one_s_own_gets_its_references_in_float64():
    references, predictions = torch.ones(2, 1, 3, 4), torch.zeros(2, 1, 3, 4)
    assert Distance()(references, predictions, 1.0).tolist() == [12.0, 12.0]


def test_more_is_worse_on_the_scale_of_distances():
    better = type("Similarity", (Distance,), {"higher_is_better": True})()
    values = np.array([0.25, 0.75])
    assert Distance().distance(values).tolist() == [0.25, 0.75]
    assert better.distance(values).tolist() == [-0.25, -0.75]


def test_a_metric_of_images_refuses_labels_and_names_those_that_take_them():
    assert Distance().unfit(torch.zeros(1, 1, 3, 4), labels=False) is None
    said = Distance().unfit(torch.zeros(1, 1, 3, 4), labels=True)
    assert said.startswith("distance compares images, and these are labels: ")
    taken = said.rpartition("--metrics ")[2].split(",")
    assert [metric_called(name).labels for name in taken] == [True] * 3


def test_distances_of_squared_errors_are_lengths():
    a, b = pair(torch.float64)
    difference = (a - b)[0].numpy()
    error = metric_called("nmse")(a, b, 3.0)[:1].numpy()
    expected = np.linalg.norm(difference) / np.linalg.norm(a[0].numpy())
    np.testing.assert_allclose(metric_called("nmse").distance(error), expected, rtol=1e-12)
    level = metric_called("psnr")(a, b, 3.0)[:1].numpy()
    expected = np.sqrt(np.mean(difference**2)) / 3
    np.testing.assert_allclose(metric_called("psnr").distance(level), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [(30,), (4, 5, 6)])
def test_squared_errors_of_signals_and_volumes_are_those_of_all_their_values(size):
    random = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 3, 2, *size, generator=random, dtype=torch.float64)
    flat = [each.reshape(3, 1, 1, -1) for each in (a, b)]
    for metric in (nmse, psnr):
        expected = metric(*flat, 1.0)
        torch.testing.assert_close(metric(a, b, 1.0), expected, rtol=1e-12, atol=0)
