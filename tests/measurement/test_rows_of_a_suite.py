"""What stands in the rows beside the errors, and in which units and frames errors are."""

import pytest
import torch

import equibench as eb
from equibench.metrics.structural_similarity import ssim


class Scaled(eb.Suite):
    """Two images of two patients, with a ground truth in units of its own, or none."""

    name = "scans"
    metrics = ("nmse", "psnr", "ssim")

    def __init__(self, clamp=None, scale=True, offset=True, rule="max"):
        self.clamp, self.data_range = clamp, {"psnr": rule}
        self.scale, self.offset = scale, offset
        self.images = torch.rand(2, 1, 8, 12, generator=torch.Generator().manual_seed(0))

    def cases(self):
        return ["a", "b"]

    def load(self, name):
        one = torch.ones(1, dtype=torch.float64)
        image = self.images[self.cases().index(name)][None]
        return eb.Case(
            name, image, target=10 * image + 3, group=f"group {name}", cluster=f"patient {name}",
            scale=10 * one if self.scale else None, offset=3 * one if self.offset else None,
        )  # fmt: skip


def evaluated(model, suite, **options):
    return eb.evaluate(
        model, suite, shifts="random:n=3,max=4", batch=2, device="cpu", **options
    ).rows


def identity(x):
    return x


@pytest.mark.parametrize("clamp", [None, 6.0])
def test_a_model_that_gives_its_input_is_perfect_in_the_units_of_the_truth(clamp):
    rows = evaluated(identity, Scaled(clamp))
    assert rows["nmse"].dropna().max() < 1e-12
    rows = evaluated(lambda x: x + 1, Scaled(clamp))
    assert rows["nmse"].dropna().min() > 1e-2


@pytest.mark.parametrize(("scale", "offset"), [(True, False), (False, True), (False, False)])
def test_a_case_without_scale_or_offset_has_one_and_zero(scale, offset):
    suite = Scaled(scale=scale, offset=offset)

    def into_truth(x):
        return (x if scale else 10 * x) + (0 if offset else 3 / (10 if scale else 1))

    assert evaluated(into_truth, suite)["nmse"].dropna().max() < 1e-12


def test_errors_are_relative_to_outputs_in_units_of_the_truth():
    """An offset makes an output larger, and so a relative error smaller."""

    def jumps(x):
        y = x.clone()
        y[:, :, 0, 0] += 1
        return y

    moved, bare = (evaluated(jumps, Scaled(scale=False, offset=o)) for o in (True, False))
    assert (moved["eq_nmse"][1:3] < 0.1 * bare["eq_nmse"][1:3]).all()


def test_a_row_names_model_suite_group_cluster_case_draw_and_conditions():
    suite = Scaled()
    suite.label = "ours"
    rows = evaluated(identity, suite)
    assert rows["model"].nunique() == 1
    assert set(rows["suite"]) == {"ours"}
    assert rows["group"].tolist() == 4 * ["group a"] + 4 * ["group b"]
    assert rows["cluster"].tolist() == 4 * ["patient a"] + 4 * ["patient b"]
    assert rows["case"].tolist() == 4 * ["a"] + 4 * ["b"]
    assert rows["draw"].tolist() == 2 * [0, 1, 2, 3]
    assert set(rows["frame"]) == {"canonical"}
    assert set(rows["precision"]) == {"fp32"}
    assert set(rows["batch"]) == {2}
    assert set(rows["covers"]) == {1}
    assert set(rows["spots"]) == {0}
    assert set(rows["resized"]) == {""}
    assert rows["evidence"].eq("").all()


def test_rows_under_several_transforms_are_numbered_throughout():
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    options = {"shifts": "random:n=2,max=4", "transforms": ["d4"], "device": "cpu"}
    rows = eb.evaluate(identity, images, **options).rows
    assert list(rows["transform"].unique()) == ["circular", "d4"]
    assert rows.index.tolist() == list(range(len(rows)))


class Enlarged(torch.nn.Module):
    """An output of another scale, that a seam of windows tells apart from a shift by one."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        y = torch.nn.functional.interpolate(x, scale_factor=self.scale)
        return y + 0.3 * torch.linspace(0, 1, y.shape[-1])


@pytest.mark.parametrize("scale", [1, 2, 0.5])
def test_the_reference_frame_of_an_output_of_any_scale_lies_where_its_shift_does(scale):
    image = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    network = Enlarged(scale).eval()
    adapted = network if scale == 1 else eb.adapt(network, f"out.scale={scale}")
    shifts = "random:n=3,max=8"
    rows = eb.evaluate(adapted, image, shifts=shifts, frame="reference", device="cpu").rows
    for row in rows[rows["draw"] > 0].itertuples():
        shift = (row.dy, row.dx)
        there = [int(k * scale) for k in shift]
        reference = torch.roll(network(image), there, (-2, -1)).double()
        moved = network(torch.roll(image, shift, (-2, -1))).double()
        expected = ssim(reference, moved, float(network(image).max()))
        assert row.eq_ssim == pytest.approx(float(expected), rel=1e-5)


class Padding(torch.nn.Module):
    def __init__(self, padded):
        super().__init__()
        self.padded = padded

    def forward(self, x):
        return x


def test_rows_say_whether_images_were_padded():
    rows = evaluated(eb.adapt(torch.nn.Identity(), "in.pad=16"), Scaled())
    assert set(rows["padded"]) == {True}
    assert set(evaluated(identity, Scaled())["padded"]) == {False}


@pytest.mark.parametrize("padded", [True, False])
def test_what_a_network_calls_padded_means_what_it_means_to_the_network(padded):
    assert set(evaluated(Padding(padded), Scaled())["padded"]) == {False}


@pytest.mark.parametrize("rule", ["max", "range"])
def test_a_suite_says_how_the_data_range_of_a_metric_follows_from_the_truth(rule):
    """10·x + 3 has a range that is about a quarter smaller than its maximum."""
    suite = Scaled(rule=rule)
    worse = evaluated(lambda x: x + 0.01, suite)
    truth = 10 * suite.images[0] + 3
    r = truth.max() - truth.min() if rule == "range" else truth.max()
    assert worse["psnr"].iloc[0] == pytest.approx(
        float(20 * torch.log10(r.double() / 0.1)), rel=1e-4
    )
