"""The embedded labels: a rule on clean scans, beside the images of the CT sample."""

import numpy as np
import pytest
import torch

import equibench as eb
from equibench.suites.samples.images import CTSample
from equibench.suites.samples.tissues import SegSample, tissues

OUTSIDE, GAS, SOFT, BONE = range(4)


@pytest.fixture(scope="module")
def phantom():
    """A thorax (48, 48) in Hounsfield units, its front to the right, and what of it is what."""
    density = np.full((48, 48), -1000.0)
    classes = np.full((48, 48), OUTSIDE)
    parts = {
        "clothes": (slice(10, 30), slice(44, 47), 50, OUTSIDE),
        "body": (slice(0, 48), slice(0, 38), 40, SOFT),
        "lung": (slice(8, 20), slice(10, 30), -850, GAS),
        "vessel in the lung": (slice(12, 17), slice(16, 21), 60, SOFT),
        "lung that the frame cuts": (slice(40, 48), slice(4, 20), -850, GAS),
        "spine": (slice(22, 30), slice(4, 12), 500, BONE),
        "marrow": (slice(24, 28), slice(6, 10), 100, SOFT),
    }
    for rows, columns, value, kind in parts.values():
        density[rows, columns], classes[rows, columns] = value, kind
    return density, classes


def without_corners(density, classes):
    """Where a median over 3×3 pixels keeps what is there: anywhere but at corners."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(density, 1, mode="edge"), (3, 3))
    return np.median(around, axis=(2, 3)) == density


def test_the_rule_finds_the_tissues_of_a_phantom(phantom):
    density, classes = phantom
    found, kept = tissues(density), without_corners(*phantom)
    assert kept.mean() > 0.97
    assert np.array_equal(found[kept], classes[kept])


def test_single_noisy_pixels_are_of_the_tissue_around_them(phantom):
    density, _ = phantom
    noisy = density.copy()
    noisy[35, 25], noisy[13, 26] = 900, 900
    found = tissues(noisy)
    assert (found[35, 25], found[13, 26]) == (SOFT, GAS)


@pytest.mark.parametrize(("part", "count"), [("train", 16), ("test", 12)])
def test_a_case_has_the_image_of_the_ct_sample_at_half_its_size(part, count):
    suite, images = SegSample(part), CTSample(part)
    names = suite.cases()
    assert len(names) == len(set(names)) == count
    for name, other in zip(names, images.cases(), strict=True):
        case, whole = suite.load(name), images.load(other).input
        assert case.input.shape == case.target.shape == (1, 1, 176, 176)
        torch.testing.assert_close(case.input, torch.nn.functional.avg_pool2d(whole, 2))


@pytest.mark.parametrize("part", ["train", "test"])
def test_every_slice_has_soft_tissue_bone_and_gas_and_nothing_is_ignored(part):
    suite = SegSample(part)
    shares = torch.stack(
        [torch.bincount(suite.load(name).target.flatten(), minlength=4) for name in suite.cases()]
    )
    assert shares.shape == (len(suite.cases()), 4)
    assert (shares[:, [GAS, SOFT, BONE]] > 0).all()
    assert (shares.sum(dim=1) == 176**2).all()


def test_the_parts_are_of_two_patients():
    clusters = {part: {SegSample(part).load(SegSample(part).cases()[0]).cluster} for part in
                ("train", "test")}  # fmt: skip
    assert clusters["train"].isdisjoint(clusters["test"])


def test_a_network_that_calls_everything_soft_tissue_is_right_where_it_is():
    def soft(x):
        return torch.cat([torch.full_like(x, kind == SOFT) for kind in range(4)], dim=1)

    suite = SegSample()
    model = eb.adapt(soft, "out.labels=argmax")
    rows = eb.evaluate(model, suite, shifts="grid:max=1,step=1", progress=False).rows
    unmoved = rows[rows["draw"] == 0].set_index("case")["agreement"]
    for name in suite.cases():
        share = (suite.load(name).target == SOFT).double().mean().item()
        assert unmoved[name] == pytest.approx(share, rel=1e-12)


@pytest.mark.slow
def test_drawn_parts_have_labels_of_the_scan_other_noise_and_corners_at_the_total_stride():
    suite, images = SegSample("train"), CTSample("train")
    own = [suite.load(name) for name in suite.cases()]
    clean = [torch.nn.functional.avg_pool2d(images.load(n).target, 2) for n in images.cases()]
    corners, louder = set(), []
    for number in range(40):
        part = suite.draw(0, number)
        assert part.input.shape == part.target.shape == (1, 1, 128, 128)
        assert torch.equal(part.input, suite.draw(0, number).input)
        ((whole, at, top, left),) = [
            (case, at, top, left)
            for at, case in enumerate(own)
            for top in range(0, 49, 16)
            for left in range(0, 49, 16)
            if torch.equal(part.target, case.target[..., top : top + 128, left : left + 128])
        ]
        box = (..., slice(top, top + 128), slice(left, left + 128))
        corners.add((top, left))
        noise, same = (case_input - clean[at][box] for case_input in (part.input, whole.input[box]))
        louder.append((noise.std() / same.std()).item())
        torch.testing.assert_close(noise, same * louder[-1], rtol=1e-3, atol=1e-5)
    assert len(corners) > 8
    assert 0.999 < min(louder) < 1.2
    assert 2.8 < max(louder) < 3.001
