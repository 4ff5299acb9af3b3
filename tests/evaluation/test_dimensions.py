"""Signals and volumes: one mechanism for one, two and three axes in space."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import nn

import equibench as eb
from equibench.foundation.rounding import default_limit
from equibench.layers.attribution import attribute
from equibench.layers.index_flips import trace_flips
from equibench.metrics.squared_error import nmse
from equibench.metrics.structural_similarity import ssim, ssim_columns
from equibench.models.unet import UNet

pytestmark = pytest.mark.slow

SIZES = {1: (48,), 2: (12, 16), 3: (8, 8, 8)}
AXES = ("dz", "dy", "dx")
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
dims = pytest.mark.parametrize("dims", [1, 2, 3])


def noise(dims, count=2, size=None):
    generator = torch.Generator().manual_seed(dims)
    return torch.randn(count, 1, *(size or SIZES[dims]), generator=generator)


def unet(dims, resampling="stride", levels=2):
    torch.manual_seed(0)
    return UNet(resampling, width=0.05, levels=levels, dims=dims).eval()


def every_shift(model, images, tmp_path):
    """Every circular shift, one by one, without residue classes."""
    size = images.shape[2:]
    file = tmp_path / "every.csv"
    lines = [",".join(map(str, shift)) for shift in product(*map(range, size))]
    file.write_text("\n".join([",".join(AXES[-len(size) :]), *lines]))
    return eb.evaluate(model, images, shifts=f"file:{file}", progress=False)


@pytest.mark.long
@dims
def test_classes_give_the_worst_case_of_brute_force_to_the_last_bit(dims, tmp_path):
    model, images = unet(dims), noise(dims, 1)
    short = eb.evaluate(model, images, shifts="all", progress=False)
    whole = every_shift(model, images, tmp_path)
    assert short.probe.classes == (4,) * dims
    (a,), (b,) = (result.summary.to_dict("records") for result in (short, whole))
    for statistic in ("mean", "median", "worst", *(f"worst_{axis}" for axis in AXES[-dims:])):
        assert a[f"eq_nmse_{statistic}"] == b[f"eq_nmse_{statistic}"], statistic
    assert (a["evidence"], a["evaluated"]) == ("proved", 4**dims)
    assert (a["shifts"], b["evaluated"]) == (np.prod(SIZES[dims]),) * 2


@dims
def test_rows_hold_the_error_of_a_plain_loop_and_name_the_shift_along_each_axis(dims):
    model, images = unet(dims), noise(dims)
    rows = eb.evaluate(model, images, shifts="random:n=3,max=4", progress=False).rows
    assert set(AXES) & set(rows) == {"dy", "dx", *AXES[-dims:]}
    assert rows["dy"].isna().all() == (dims == 1)
    space = tuple(range(2, 2 + dims))
    with torch.inference_mode():
        for row in rows[rows["draw"] > 0].to_dict("records"):
            image = images[int(row["case"]), None]
            shift = tuple(int(row[axis]) for axis in AXES[-dims:])
            back = model(image.roll(shift, space)).roll([-k for k in shift], space)
            assert row["eq_nmse"] == pytest.approx(float(nmse(model(image), back, 1.0)), rel=1e-4)


@pytest.mark.long
@dims
def test_an_adaptive_network_is_exact_and_the_proof_says_why(dims):
    result = eb.evaluate(unet(dims, "aps"), noise(dims), shifts="all", progress=False)
    assert result.summary["eq_nmse_worst"].item() <= default_limit("fp32")
    assert result.proof.proved
    assert result.proof.stride == (4,) * dims
    assert result.proof.any_shift == (1,) * dims


@dims
def test_zero_padding_is_found_and_no_proof_is_claimed(dims):
    torch.manual_seed(0)
    model = CONV[dims](1, 1, 3, padding=1)
    result = eb.evaluate(model, noise(dims, 1), shifts="all", progress=False)
    assert not result.probe.periodic
    assert result.probe.error.shape == SIZES[dims]
    assert result.probe.border > 1
    assert result.summary["evidence"].item() == "enumerated"
    proof = eb.prove(model, SIZES[dims])
    assert set(proof.obstacles) == set("zyx"[-dims:])


@dims
def test_a_stride_of_another_size_along_each_axis_is_found(dims):
    strides = (2, 3, 4)[-dims:]
    size = tuple(6 * s for s in strides)
    torch.manual_seed(0)
    down = CONV[dims](1, 2, strides, strides)
    up = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
    model = nn.Sequential(down, up(2, 1, strides, strides))
    found = eb.evaluate(model, noise(dims, 1, size), shifts="all", progress=False)
    assert found.probe.stride == strides
    assert found.proof.stride == strides


@dims
def test_attribution_blames_the_layers_that_pool_and_no_others(dims):
    shifts = [tuple(int(a == b) for b in range(dims)) for a in range(dims)]
    table = attribute(unet(dims), noise(dims), shifts, device="cpu")
    assert table.loc[table["breaks"], "name"].tolist() == ["down.0", "down.1"]
    strides = table.filter(like="stride").loc[table["breaks"]].dropna(axis=1)
    assert strides.shape[1] == dims
    assert (strides == 2).all(axis=None)
    adaptive = attribute(unet(dims, "aps"), noise(dims), shifts, device="cpu")
    assert not adaptive["breaks"].any()


@dims
def test_choices_of_adaptive_layers_follow_the_shift(dims):
    found = trace_flips(unet(dims, "aps"), noise(dims), "random:n=4,max=4", device="cpu")
    assert found.flip_rate == 0
    assert (found.layers["judged"] > 0).all()
    assert found.samples[AXES[-dims] if dims > 1 else "dx"].notna().all()


@dims
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_image_s_with_the_same_window_along_each_axis(dims, channels):
    size = {1: (50,), 2: (11, 13), 3: (9, 8, 10)}[dims]
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(2, channels, *size, generator=generator, dtype=torch.float64)
    b = a + 0.1 * torch.rand(a.shape, generator=generator, dtype=torch.float64)
    wanted = [
        structural_similarity(x.numpy(), y.numpy(), data_range=1.0, channel_axis=0)
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b, 1.0), wanted, rtol=1e-6)


@dims
def test_ssim_in_the_frame_of_the_shifted_output_is_that_of_the_shifted_images(dims):
    images = noise(dims, 1, {1: (40,), 2: (12, 16), 3: (8, 9, 10)}[dims])
    other = images + 0.3 * images.flip(-1)
    shift, space = (1, 2, 3)[-dims:], tuple(range(2, 2 + dims))
    r = torch.ones(1, dtype=torch.float64)
    prepared = ssim.prepare(images.double(), r)
    origin = -torch.tensor([shift])
    seen = ssim.value(ssim.partials(prepared, other.double(), origin), r)
    rolled = ssim(images.double().roll(shift, space), other.double().roll(shift, space), 1.0)
    assert seen.item() == pytest.approx(rolled.item(), rel=1e-9)


def test_a_long_signal_has_the_same_sums_on_any_number_of_cores():
    a, b = noise(1, 2, (70_001,))
    found = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append((float(nmse(a[None], b[None], 1.0)), float(ssim(a[None], b[None], 1.0))))
    torch.set_num_threads(before)
    assert found[0] == found[1]


def test_columns_of_what_has_no_columns_are_left_out_with_the_metrics_that_do():
    with pytest.raises(eb.ModelError, match=r"ssim-columns is of images.*--metrics nmse,psnr,ssim"):
        eb.evaluate(nn.Identity(), noise(1), metrics=["ssim-columns"], progress=False)
    assert ssim_columns.unfit(torch.zeros(1, 1, 8, 8), labels=False) is None


@dims
def test_labels_are_compared_by_counts(dims):
    model = eb.adapt(nn.Identity(), "out.labels=threshold:0")
    result = eb.evaluate(model, noise(dims), metrics=["iou", "boundary-dice"], progress=False)
    assert (result.rows["eq_iou"] == 1).all()
    assert (result.rows["eq_boundary_dice"] == 1).all()


@dims
def test_adapters_pad_normalise_and_resize_along_every_axis(dims):
    images = noise(dims, 1, {1: (30,), 2: (10, 14), 3: (6, 10, 14)}[dims]).abs()
    pooled = nn.Sequential(POOL[dims](2))
    seen = []

    def network(x):
        seen.append(tuple(x.shape[2:]))
        return pooled(x)

    adapted = eb.adapt(network, "in.pad=4,in.range=0..1,in.mean=0.5,out.resize=bilinear")
    assert adapted(images).shape == images.shape
    assert all(n % 4 == 0 for n in seen[0])
    assert max(seen[0]) == -(-max(images.shape[2:]) // 4) * 4


@dims
@pytest.mark.parametrize(
    "transform",
    [
        "crop:random:n=2,max=2,window=8",
        "fourier:n=2",
        "tile:size=8",
        "intensity",
        "circular:grid:max=2,step=2",
    ],
)
def test_a_pointwise_network_commutes_with_every_transform(dims, transform):
    """But for what interpolation rounds."""
    model = CONV[dims](1, 1, 1, bias=False)
    images = noise(
        dims, 1, (15,) * dims
    )  # of even sizes, half a Nyquist wave cannot be shifted back
    rows = eb.evaluate(model, images, transforms=[transform], metrics=["nmse"], progress=False).rows
    assert (rows["eq_nmse"] <= 1e-9).all()
    assert len(rows) > 1


def test_rotations_of_what_is_no_image_are_refused_with_the_remedy():
    with pytest.raises(eb.UsageError, match=r"d4 turns images .*leave --transform d4 out"):
        eb.evaluate(nn.Identity(), noise(3), transforms=["d4"], progress=False)


@dims
def test_the_guard_names_the_shift_along_each_axis_and_the_layer(dims, tmp_path):
    with pytest.raises(AssertionError) as broken:
        eb.assert_shift_equivariant(unet(dims), noise(dims), save=tmp_path)
    said = str(broken.value)
    shift = said.partition("shift (")[2].partition(")")[0]
    assert len(shift.split(",")) == dims
    assert "layer to blame: down.0" in said
    with np.load(tmp_path / "worst.npz") as saved:
        assert saved["difference"].shape[2:] == SIZES[dims]
        assert saved["shift"].shape == (dims,)


@pytest.mark.parametrize(
    ("model", "images", "said"),
    [
        (nn.Conv2d(1, 1, 3), np.zeros((2, 8, 8), np.float32),
         r"it convolves images \(B, C, H, W\), and these are signals \(B, C, L\): give it those "
         r"\(images\[:, None\] adds"),
        (nn.Conv1d(1, 1, 3), np.zeros((2, 1, 8, 8), np.float32),
         r"it convolves signals \(B, C, L\), and these are images"),
    ],
)  # fmt: skip
def test_a_network_of_other_axes_says_which_it_wants(model, images, said):
    with pytest.raises(eb.ModelError, match=said):
        eb.evaluate(model, images, progress=False)
    if images.ndim == 3:
        same = nn.Conv2d(1, 1, 3, padding=1)
        eb.evaluate(same, images[:, None], metrics=["nmse"], shifts="all", progress=False)


@pytest.mark.parametrize(
    ("data", "given", "shape"),
    [
        (np.ones((2, 3, 20), np.float32), None, (1, 3, 20)),
        (np.ones((2, 1, 6, 7, 8), np.uint8), None, (1, 1, 6, 7, 8)),
        ([np.ones(20, np.float32), np.ones((3, 30), np.float32)], 1, (1, 1, 20)),
        ([torch.ones(6, 7, 8)], 3, (1, 1, 6, 7, 8)),
        ([torch.ones(2, 6, 7, 8)], 3, (1, 2, 6, 7, 8)),
    ],
)
def test_arrays_and_lists_of_signals_and_volumes_are_cases(data, given, shape):
    sizes = []

    def model(x):
        sizes.append((1, *x.shape[1:]))
        return x

    eb.evaluate(model, data, dims=given, metrics=["nmse"], progress=False)
    assert sizes[0] == shape


def test_targets_of_volumes_give_their_quality():
    clean = noise(3, 2, (8, 8, 8)).abs()
    noisy = clean + 0.1
    rows = eb.evaluate(nn.Identity(), noisy.numpy(), targets=clean.numpy(), progress=False).rows
    wanted = nmse(clean, noisy, 1.0)
    assert rows.groupby("case")["nmse"].first().tolist() == pytest.approx(wanted.tolist())
    assert (rows["delta_psnr"] == 0).all()


@pytest.mark.parametrize(
    ("data", "given", "said"),
    [
        ([torch.ones(1, 2, 8, 8)], None, r"an image is .*; dims=1 is for signals, dims=3 for vol"),
        ([torch.ones(1, 2, 8, 8, 8)], 3, r"a volume is \(D, H, W\) or \(C, D, H, W\)"),
        (np.ones((2, 8, 8), np.float32), 2, r"dims=2, but an array .* 1 axes behind .*\[:, None\]"),
        ([torch.ones(8)], 4, r"dims=4 is not 1 \(signals\), 2 \(images\) or 3 \(volumes\)"),
        ("noise,n=1,size=8", 1, "dims is for images: a suite brings its own"),
    ],
)
def test_axes_that_do_not_fit_are_named_with_the_remedy(data, given, said):
    with pytest.raises(eb.EquibenchError, match=said):
        eb.evaluate(nn.Identity(), data, dims=given, progress=False)


@dims
def test_noise_has_as_many_axes_as_asked_for(dims):
    result = eb.evaluate(unet(dims), f"noise,n=1,size=8,dims={dims}", shifts="all", progress=False)
    assert result.probe.size == (8,) * dims


def test_runs_of_suites_with_other_axes_stand_side_by_side():
    rows = pd.concat(
        eb.evaluate(nn.Identity(), noise(n, 1, (8,) * n), shifts="grid:max=2,step=2").rows
        for n in (1, 2, 3)
    )
    assert rows["dz"].notna().sum() == 8
    assert rows["dx"].notna().all()
