"""What is measured, and that nothing but the model and the data decides it."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fastmri import evaluate as fastmri

import equibench as eb
from equibench.cases.suite import Case
from equibench.errors import DataError, ModelError, UsageError
from equibench.evaluation.model_on_suite import Evaluation
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.measurement.work_units import units
from equibench.models.unet import UNet
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import parse_shifts


def identity(x):
    return x


def test_an_equivariant_model_scores_zero_and_the_plan_s_shifts_are_in_the_rows(images):
    rows = eb.evaluate(identity, images, shifts="grid:max=4,step=4").rows
    assert (rows["eq_nmse"] == 0).all()
    assert (rows["eq_ssim"] == 1).all()
    first = rows[rows["case"] == "00000"]
    assert list(zip(first["dy"], first["dx"], strict=True)) == [(0, 0), (-4, -4), (-4, 0), (0, -4)]
    assert first["draw"].tolist() == [0, 1, 2, 3]


def test_the_error_is_that_of_a_plain_loop_over_shifts(images):
    torch.manual_seed(0)
    network = UNet(width=0.05, levels=2).eval()
    rows = eb.evaluate(network, images, shifts="random:n=4,max=16").rows
    with torch.inference_mode():
        for row in rows[rows["draw"] > 0].itertuples():
            x = images[int(row.case)][None]
            shift = (row.dy, row.dx)
            reference = torch.roll(network(x), shift, (-2, -1)).double()
            error = reference - network(torch.roll(x, shift, (-2, -1)))
            expected = float(error.square().sum() / reference.square().sum())
            assert row.eq_nmse == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("fault", ["one shift", "one image", "one image at one shift", "nan"])
def test_a_planted_fault_is_the_worst_row_and_is_named(images, fault):
    """Wrong for one shift or one image only, or NaN at one shift of one image."""
    corner = images[:, 0, 0, 0]

    def model(x):
        y = x.clone()
        for i, image in enumerate(x):
            # the second image, shifted by (3, -5), has its corner pixel there
            is_shift = any(image[0, 3, -5] == c for c in corner)
            is_image = (image == corner[1]).any()
            bad = {
                "one shift": is_shift,
                "one image": is_image and image[0, 0, 0] != corner[1],
            }.get(fault, is_shift and is_image)
            if bad:
                y[i, 0, 7, 7] = torch.nan if fault == "nan" else 99
        return y

    (summary,) = eb.evaluate(
        model, images, shifts="file:tests/data/shifts.csv"
    ).summary.itertuples()
    if fault == "nan":
        assert np.isnan(summary.eq_nmse_worst)
    else:
        assert summary.eq_nmse_worst > 1
        assert summary.eq_nmse_median < 1
    if fault != "one shift":
        assert summary.eq_nmse_worst_case == "00001"
    if fault != "one image":
        assert (summary.eq_nmse_worst_dy, summary.eq_nmse_worst_dx) == (3, -5)


def test_delta_psnr_is_the_change_of_psnr_under_the_shift(images):
    def fades(x):  # a position-dependent gain is not equivariant
        return x * torch.linspace(0.5, 1, x.shape[-1])

    suite = eb.ImageCases(images, images + 0.1)
    rows = eb.evaluate(fades, suite, shifts="random:n=3,max=8").rows
    row = rows[rows["draw"] == 2].iloc[0]
    x, shift = images[0], (int(row["dy"]), int(row["dx"]))
    target, moved = images[0] + 0.1, torch.roll(images[0], shift, (-2, -1))
    expected = [
        fastmri.psnr(t.double().numpy(), fades(i).double().numpy(), target.max().item())
        for t, i in ((target, x), (torch.roll(target, shift, (-2, -1)), moved))
    ]
    assert row["psnr"] == pytest.approx(expected[0], rel=1e-6)
    assert row["psnr_shifted"] == pytest.approx(expected[1], rel=1e-6)
    assert row["delta_psnr"] == pytest.approx(abs(expected[0] - expected[1]), rel=1e-6)


class Volumes(eb.Suite):
    """Two volumes of three slices, normalised slice by slice like fastMRI's."""

    name = "volumes"
    images_per_case = 3
    clamp = 6.0

    def __init__(self):
        rng = torch.Generator().manual_seed(0)
        self.slices = torch.randn(2, 3, 1, 16, 24, generator=rng)

    def cases(self):
        return ["first", "second"]

    def load(self, name):
        x = self.slices[self.cases().index(name)]
        scale = torch.tensor([1.0, 2.0, 3.0])
        offset = torch.tensor([5.0, 6.0, 7.0])
        target = x * scale[:, None, None, None] + offset[:, None, None, None] + 0.3
        return Case(name=name, input=x, target=target, scale=scale, offset=offset, group="PD")


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7])
def test_volume_metrics_are_fastmri_s_over_the_stacked_slices(batch):
    suite = Volumes()
    rows = eb.evaluate(identity, suite, shifts="paper", batch=batch).rows
    (first, _) = rows.query("draw == 0").itertuples()
    case = suite.load("first")
    target = case.target[:, 0].double().numpy()
    output = (target - 0.3).astype(np.float64)
    assert first.nmse == pytest.approx(fastmri.nmse(target, output).item(), rel=1e-5)
    assert first.psnr == pytest.approx(fastmri.psnr(target, output), rel=1e-5)
    assert first.ssim == pytest.approx(np.asarray(fastmri.ssim(target, output)).item(), rel=1e-5)
    assert first.group == "PD"


def test_a_volume_has_one_shift_a_pass_and_one_row_each():
    rows = eb.evaluate(identity, Volumes(), shifts="paper:passes=4").rows
    assert rows.groupby("case").size().to_dict() == {"first": 5, "second": 5}
    assert set(rows["frame"]) == {"reference"}


def test_outputs_are_clamped_before_they_are_scaled():
    rows = eb.evaluate(lambda x: 100 * torch.ones_like(x), Volumes(), shifts="paper").rows
    case = Volumes().load("first")
    output = (6 * case.scale + case.offset)[:, None, None, None].expand_as(case.target)
    expected = fastmri.nmse(case.target.double().numpy(), output.double().numpy())
    assert rows["nmse"][0] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.slow
def test_no_number_depends_on_how_the_work_is_split(images):
    """Every case alone, all of them, and a limit: the same bits."""
    torch.manual_seed(0)
    network = UNet(width=0.05, levels=2)
    shifts, batch = "random:n=9,max=16", 4  # batches that mix cases
    images = images.repeat(4, 1, 1, 1) + 0.1 * torch.arange(12.0)[:, None, None, None]
    (first, *_) = units(
        eb.ImageCases(images), [Circular(parse_shifts(shifts))], [str(i) for i in range(12)]
    )
    together = eb.evaluate(network, images, shifts=shifts, batch=batch).rows
    limited = eb.evaluate(network, images, shifts=shifts, batch=batch, limit=len(first)).rows
    assert 1 < len(first) < 12
    pd.testing.assert_frame_equal(limited, together[: len(limited)])


def test_units_hold_fewer_cases_the_more_shifts_and_slices_there_are(images):
    cases = [str(i) for i in range(100)]

    def sizes(suite, plan):
        return [len(unit) for unit in units(suite, [Circular(parse_shifts(plan))], cases)]

    small = eb.ImageCases(images)
    assert sizes(small, "paper")[0] == 21
    assert sizes(small, "random:n=10,max=16")[0] == 5
    assert set(sizes(small, "all")) == {1}
    assert set(sizes(Volumes(), "random:n=40,max=16")) == {1}


def test_every_batch_has_the_same_shape_and_the_floor_another_slot(images):
    seen = []

    def model(x):
        seen.append(x.clone())
        return x

    eb.evaluate(model, images, shifts="random:n=4,max=8", batch=4)
    assert {len(x) for x in seen} == {4}
    order = torch.cat(seen[4:])  # after those that try whether it repeats itself
    assert torch.equal(order[0], images[0])
    assert torch.equal(order[1], images[0])


def test_the_floor_is_what_the_batch_slot_alone_does(images):
    def depends_on_slot(x):
        return x * (1 + 1e-6 * torch.arange(len(x))[:, None, None, None])

    rows = eb.evaluate(depends_on_slot, images, shifts="random:n=2,max=8", batch=4).rows
    assert rows["floor_nmse"].between(1e-13, 1e-10).all()
    at_zero = rows[rows["draw"] == 0]
    assert (at_zero["eq_nmse"] == at_zero["floor_nmse"]).all()


def test_in_a_batch_of_one_there_is_no_slot_to_measure_the_floor_in(images):
    assert eb.evaluate(identity, images, batch=1).rows["floor_nmse"].isna().all()


def test_a_case_that_cannot_be_loaded_changes_nothing_for_the_others_of_its_unit(images):
    class SecondIsBroken(eb.ImageCases):
        def load(self, name):
            if name == "00001":
                raise DataError("the second is broken")
            return super().load(name)

    torch.manual_seed(0)
    network = UNet(width=0.05, levels=2)
    config = RunConfig(models=("m",), suites=("s",), shifts="random:n=3,max=8", batch=4)
    parts = {}
    for suite in (eb.ImageCases(images), SecondIsBroken(images)):
        suite.label = "images"
        with Evaluation(network, "net", suite, Settings.of(config)).ready() as measure:
            parts[type(suite)] = measure(suite.cases())
    whole, rest = (parts[kind] for kind in (eb.ImageCases, SecondIsBroken))
    assert {name: str(error) for name, error in rest.broken.items()} == {
        "00001": "the second is broken"
    }
    others = whole.rows[whole.rows["case"] != "00001"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest.rows, others)


def test_an_infinite_output_is_not_hidden_by_a_clamp():
    def explodes(x):
        return torch.where(x > 0, torch.inf, -torch.inf)

    rows = eb.evaluate(explodes, Volumes(), shifts="paper").rows
    assert rows["eq_nmse"].isna().all()


def test_the_user_s_own_tf32_switches_can_be_read_inside_and_are_inherited_afterwards(images):
    backends, seen = torch.backends, []

    def model(x):
        seen.append((backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32))
        with backends.cudnn.flags(enabled=True):
            return x.clone()

    torch.set_float32_matmul_precision("high")
    try:
        eb.evaluate(model, images, limit=1)
        eb.evaluate(model, images, limit=1, precision="tf32")
        assert set(seen) == {(False, False), (True, True)}
        assert torch.get_float32_matmul_precision() == "high"
        assert backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_suite_whose_cases_only_partly_have_a_ground_truth_is_named(images):
    class Mixed(eb.ImageCases):
        def load(self, name):
            case = super().load(name)
            return replace(case, target=case.input if name == "00001" else None)

    with pytest.raises(DataError) as caught:
        eb.evaluate(identity, Mixed(images), shifts="paper")
    assert str(caught.value) == (
        "images: case 00001 and 00000 differ in whether they have a ground truth; give all of "
        "them one, or none"
    )


@pytest.mark.parametrize("what", ["input", "ground truth"])
def test_data_that_are_not_finite_are_not_blamed_on_the_model(what, images):
    bad = images.clone()
    bad[0, 0, 0, 0] = torch.nan
    suite = eb.ImageCases(*((bad, images) if what == "input" else (images, bad)))
    with pytest.raises(DataError, match=f"^images, case 00000: the {what} is not finite$"):
        eb.evaluate(identity, suite)


def test_nmse_is_measured_whatever_the_suite_names(images):
    rows = eb.evaluate(identity, eb.ImageCases(images, metrics=("psnr",)), limit=1).rows
    assert rows["eq_nmse"].eq(0).all()


def test_two_cases_of_one_name_are_refused():
    class Twins(Volumes):
        def cases(self):
            return ["first", "first"]

    with pytest.raises(UsageError, match=r"^suite 'volumes' has 2 cases called 'first'$"):
        eb.evaluate(identity, Twins())


def test_the_batch_is_halved_when_memory_runs_out(images):
    def greedy(x):
        if len(x) > 2:
            raise torch.OutOfMemoryError("no")
        return x

    rows = eb.evaluate(greedy, images, batch=16).rows
    assert set(rows["batch"]) == {2}
    pd.testing.assert_frame_equal(
        rows.drop(columns="model"),
        eb.evaluate(identity, images, batch=2).rows.drop(columns="model"),
    )


def test_memory_that_runs_out_in_the_middle_of_a_unit_leaves_no_trace_in_its_rows(images):
    """A pass that fails takes its unit from the beginning, with half the batch."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(1, 1, 3, padding=1)
    passes = []

    def greedy(x):
        passes.append(len(x))
        if len(x) == 8 and passes.count(8) >= 8:
            raise torch.OutOfMemoryError("no")
        return layer(x)

    found = eb.evaluate(greedy, images, batch=8, shifts="random:n=9,max=9", device="cpu").rows
    assert set(found["batch"]) == {4}
    for batch, tolerance in ((4, 0), (8, 1e-5)):
        whole = eb.evaluate(
            layer, images, batch=batch, shifts="random:n=9,max=9", device="cpu"
        ).rows
        apart = ["model", "batch", "floor_nmse", "repeat_nmse"]
        pd.testing.assert_frame_equal(
            found.drop(columns=apart), whole.drop(columns=apart), rtol=tolerance, atol=1e-12
        )


def test_a_single_image_that_does_not_fit_is_reported(images):
    def hopeless(x):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 GB")

    with pytest.raises(ModelError, match=r"^hopeless runs out of memory on images with one image"):
        eb.evaluate(hopeless, images)


def test_the_model_is_in_eval_mode_without_gradients_and_put_back_afterwards(images):
    class Watch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))
            self.frozen = torch.nn.BatchNorm2d(1).eval()

        def forward(self, x):
            assert not self.training
            assert not torch.is_grad_enabled()
            return x * self.weight

    model = Watch().train()
    model.frozen.eval()
    eb.evaluate(model, images, precision="fp64", limit=1)
    assert model.training
    assert not model.frozen.training
    assert model.weight.dtype == torch.float32
    assert not model.weight.is_inference()


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("fp64", torch.float64)])
def test_the_model_sees_the_precision_that_was_asked_for(images, precision, dtype):
    seen = set()

    def model(x):
        seen.add(x.dtype)
        return x

    eb.evaluate(model, images, precision=precision, limit=1)
    assert seen == {dtype}


def test_fp32_is_ieee_float32_whatever_was_set_and_the_setting_comes_back(images):
    conv = torch.backends.cudnn.conv
    seen = []

    def model(x):
        seen.append((conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision))
        return x

    before = (conv.fp32_precision, torch.backends.cudnn.benchmark)
    eb.evaluate(model, images, limit=1)
    eb.evaluate(model, images, limit=1, precision="tf32")
    assert set(seen) == {("ieee", "ieee"), ("tf32", "tf32")}
    assert (conv.fp32_precision, torch.backends.cudnn.benchmark) == before


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_half_precision_is_autocast_and_leaves_the_weights_alone(images, precision, dtype):
    conv, seen = torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), set()
    conv.register_forward_hook(lambda module, args, output: seen.add(output.dtype))
    rows = eb.evaluate(conv, images, precision=precision, limit=1).rows
    assert seen == {dtype}
    assert rows["eq_nmse"].notna().all()
    assert conv.weight.dtype == torch.float32


def test_cases_whose_output_is_one_value_in_every_channel_are_marked():
    x = torch.stack([torch.zeros(1, 8, 8), torch.rand(1, 8, 8), torch.full((1, 8, 8), 3.0)])

    def both(images):
        return torch.cat([images, torch.ones_like(images)], dim=1)

    for model in (both, identity):
        rows = eb.evaluate(model, x, shifts="random:n=1,max=2").rows
        assert rows["constant"].tolist() == [True, True, False, False, True, True]


def test_near_ties_of_aps_layers_are_counted_in_the_rows():
    torch.manual_seed(0)
    x = torch.ones(1, 1, 16, 16)  # every component is the same
    rows = eb.evaluate(UNet("aps", width=0.05, levels=2), x, shifts="random:n=2,max=4").rows
    assert rows["near_ties"].tolist() == [2, 2, 2]
    assert eb.evaluate(identity, x).rows["near_ties"].isna().all()


@pytest.mark.slow
def test_ssim_differs_between_the_frames_and_nmse_does_not(images):
    torch.manual_seed(0)
    network = UNet(width=0.05, levels=2)
    rows = {f: eb.evaluate(network, images, frame=f).rows for f in ("canonical", "reference")}
    a, b = rows["canonical"], rows["reference"]
    pd.testing.assert_series_equal(a["eq_nmse"], b["eq_nmse"])
    assert (a["eq_ssim"] != b["eq_ssim"]).any()


def test_in_the_canonical_frame_errors_follow_the_residue_class(images, tmp_path):
    """A network of total stride 4: shifts that agree modulo 4 give the same bits."""
    torch.manual_seed(0)
    network = UNet(width=0.05, levels=2)
    (tmp_path / "k.csv").write_text("dy,dx\n1,2\n5,-2\n-3,22\n")
    rows = eb.evaluate(network, images, shifts=f"file:{tmp_path}/k.csv").rows.query("draw > 0")
    assert (rows["eq_nmse"] > 1e-6).all()
    for _, case in rows.groupby("case"):
        assert len({*zip(case["eq_nmse"], case["eq_ssim"], strict=True)}) == 1


BAD_MODELS = {
    "tuple": (
        lambda x: (x, x),
        "<lambda> returned a tuple (Tensor (2, 1, 32, 48), Tensor (2, 1, 32, 48)) on images, "
        "case 00000 (input (2, 1, 32, 48)), not one tensor (2, C, 32, 48): set "
        "out.select=0",
    ),
    "dict": (
        lambda x: {"out": x},
        "<lambda> returned a dict with the keys out on images, case 00000 (input (2, 1, 32, 48)), "
        "not one tensor (2, C, 32, 48): set out.select=out",
    ),
    "size": (
        lambda x: x[..., ::2],
        "<lambda> returned a tensor (2, 1, 32, 24) on images, case 00000 (input (2, 1, 32, 48)), "
        "not one tensor (2, C, 32, 48): wrap it so that it returns that",
    ),
    "labels": (
        lambda x: x.long(),
        "<lambda> returned torch.int64 on images, case 00000 (input (2, 1, 32, 48)), not "
        "real numbers: wrap it so that it returns real numbers",
    ),
    "raises": (
        lambda x: x.no_such_thing,
        "<lambda> raised AttributeError on images, case 00000 (input (2, 1, 32, 48)): "
        "'Tensor' object has no attribute 'no_such_thing'",
    ),
    "odd size": (
        UNet(width=0.05, levels=5),
        "UNet raised ValueError on images, case 00000 (input (2, 1, 32, 48)): the total stride 32 "
        "does not divide the size 32×48: crop to 32×32 (padding would break equivariance)",
    ),
    "channels": (
        lambda x: x.expand(-1, 3, -1, -1),
        "<lambda> returned (1, 3, 32, 48) on images, case 00000, where the ground truth is "
        "(1, 1, 32, 48): set its number of output channels, or out.channels=1, or "
        "out.channel=0",
    ),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_model_that_cannot_be_measured_is_named_with_the_place_and_the_remedy(kind, images):
    model, message = BAD_MODELS[kind]
    with pytest.raises(ModelError) as caught:
        eb.evaluate(model, eb.ImageCases(images, images))
    assert str(caught.value) == message


def test_a_case_that_cannot_be_loaded_is_named():
    class Broken(Volumes):
        def load(self, name):
            raise OSError("disk on fire")

    with pytest.raises(DataError) as caught:
        eb.evaluate(identity, Broken())
    assert str(caught.value) == "volumes cannot load case first: OSError: disk on fire"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cpu_and_cuda_give_the_same_summary(images):
    torch.manual_seed(0)
    network = UNet(width=0.125)
    suite = eb.ImageCases(images[..., :32], images[..., :32])
    cpu, cuda = (eb.evaluate(network, suite, device=d).summary for d in ("cpu", "cuda"))
    for column in ("eq_nmse_mean", "eq_nmse_worst", "eq_ssim_mean", "delta_psnr_worst"):
        np.testing.assert_allclose(cuda[column], cpu[column], rtol=1e-3)
    assert next(network.parameters()).device.type == "cpu"


def test_three_cases_of_a_batch_that_is_refused_are_named_and_the_others_counted():
    def model(x):
        if len(x.flatten(1).unique(dim=0)) > 2:
            raise ValueError("no such company")
        return x

    images = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    three = "case 00000, 00001, 00002"
    for number, said in ((5, " and 2 more ("), (4, " and 1 more ("), (3, " (")):
        with pytest.raises(ModelError, match=re.escape(three + said)):
            eb.evaluate(model, images[:number], shifts="random:n=1,max=2", batch=32, device="cpu")
