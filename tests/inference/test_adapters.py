"""Shapes and ranges: what stands between a suite and a network that wants something else."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

import equibench as eb
from equibench.errors import ModelError, UsageError
from equibench.inference.adapters import Adapted
from equibench.registry.specs import Spec
from equibench.reports.tables.summary_table import summary_table


def seen(adapters, images, give=lambda x, *second: x):
    """What a network behind adapters is given, and what comes out."""
    calls = []

    def network(*arguments, **named):
        calls.append((arguments, named))
        return give(*arguments)

    output = eb.adapt(network, adapters)(images)
    arguments, named = calls[0]
    return arguments, named, output


def test_adapters_are_keys_of_a_model_that_no_argument_can_have():
    spec = Spec.parse("net,scale=4,in.channels=3,out.select=0/image")
    assert (spec.arguments, spec.adapters) == (
        {"scale": 4},
        {"in.channels": 3, "out.select": "0/image"},
    )
    assert spec.label == "net,scale=4,in.channels=3,out.select=0/image"


def test_grey_becomes_colour_and_colour_grey(images):
    (given,), _, output = seen("in.channels=3,out.channels=1", images)
    assert torch.equal(given, images.expand(-1, 3, -1, -1))
    assert torch.allclose(output, images, atol=1e-6)


def test_the_range_of_each_image_is_brought_to_the_network_s_and_its_output_back(images):
    (given,), _, output = seen("in.range=0..255", images)
    assert given.amin((1, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    assert given.amax((1, 2, 3)).tolist() == pytest.approx([255, 255, 255])
    assert torch.allclose(output, images, atol=1e-5)
    assert torch.equal(seen("in.range=0..255,out.restore=false", images)[2], given)


def test_a_constant_image_has_a_range_too():
    (given,), _, output = seen("in.range=0..1", torch.full((1, 1, 4, 4), 7.0))
    assert given.isfinite().all()
    assert torch.allclose(output, torch.tensor(7.0))


def test_normalisation_takes_one_number_or_one_for_each_channel(images):
    (given,), _, output = seen("in.channels=3,in.mean=imagenet,in.std=0.2/0.4/0.5", images)
    assert torch.allclose(given[:, 1], (images[:, 0] - 0.456) / 0.4)
    assert torch.allclose(output[:, :1], images, atol=1e-6)
    (given,), _, _ = seen("in.std=0.5", images)
    assert torch.equal(given, images * 2)


def test_padding_wraps_around_to_a_multiple_and_is_cropped_off_again():
    images = torch.rand(1, 1, 33, 47)
    (given,), _, output = seen("in.pad=32", images)
    assert given.shape == (1, 1, 64, 64)
    assert torch.equal(given[..., 33:, :47], images[..., :31, :])
    assert torch.equal(output, images)
    assert (seen("in.pad=32,in.pad_mode=constant", images)[0][0][..., 33:, :] == 0).all()


@pytest.mark.parametrize(
    ("select", "output"),
    [
        ("1", lambda x: (None, x)),
        ("-1", lambda x: [x * 0, x]),
        ("image", lambda x: {"aux": None, "image": x}),
        ("0/image", lambda x: ({"image": x}, None)),
        ("real", lambda x: torch.complex(x, x)),
    ],
)
def test_one_member_of_an_output_is_selected(select, output, images):
    assert torch.equal(seen(f"out.select={select}", images, output)[2], images)


def test_one_channel_of_an_output_is_selected(images):
    output = seen("out.channel=1", images, lambda x: torch.cat((x * 0, x, x * 2), 1))[2]
    assert torch.equal(output, images)


def test_a_second_input_is_a_noise_level_or_a_mask(images, tmp_path):
    (_, noise), _, _ = seen("in.noise=0.05", images)
    assert noise.tolist() == pytest.approx([0.05] * 3)
    (_, mask), _, _ = seen("in.mask=1", images)
    assert mask.shape == (3, 1, 32, 48)
    _, named, _ = seen("in.noise=0.05,in.second=sigma", images)
    assert list(named) == ["sigma"]
    (given,), _, _ = seen("in.noise=0.05,in.second=channel", images)
    assert given.shape == (3, 2, 32, 48)
    pattern = np.arange(32 * 48).reshape(32, 48) % 3 == 0
    np.save(tmp_path / "mask.npy", pattern)
    (_, mask), _, _ = seen(f"in.mask={tmp_path}/mask.npy,in.pad=32", images)
    assert mask.shape == (3, 1, 32, 64)
    assert torch.equal(mask[1, 0, :, :48], torch.from_numpy(pattern).float())


def test_a_volume_is_made_of_copies_or_of_channels(images):
    (given,), _, output = seen("in.volume=5", images)
    assert given.shape == (3, 1, 5, 32, 48)
    assert torch.equal(output, images)
    slices = images.expand(-1, 4, -1, -1)
    (given,), _, output = seen("in.volume=channels", slices)
    assert given.shape == (3, 1, 4, 32, 48)
    assert torch.equal(output, slices)


@pytest.mark.parametrize(
    ("adapters", "message"),
    [
        (
            "in.chanels=3",
            "model 'net': there is no field 'in.chanels'; did you mean in.channels? There are: "
            "in.channels, in.range, in.mean, in.std, in.noise, in.mask, in.second, in.pad, "
            "in.pad_mode, in.volume, in.NAME, out.select, out.scale, out.channel, out.channels, "
            "out.resize, out.labels, out.restore",
        ),
        (
            "in.range=255",
            "model 'net': in.range=255 is no range: write in.range=0..1",
        ),
        (
            "in.mean=mine",
            "model 'net': in.mean=mine: write a number, 0.5/0.4/0.4 or imagenet",
        ),
        (
            "in.noise=1,in.mask=1",
            "model 'net': in.noise and in.mask are both a second input: take one",
        ),
        (
            "in.pad=0",
            "model 'net': in.pad = 0: input should be greater than 0",
        ),
        ("pad=32", "pad in 'pad=32' adapts nothing: adapters begin with in. or out."),
    ],
)  # fmt: skip
def test_an_adapter_that_cannot_be_is_answered_with_what_can(adapters, message):
    def net(x):
        return x

    with pytest.raises(UsageError) as caught:
        eb.adapt(net, adapters)
    assert str(caught.value) == message


def test_a_file_that_holds_no_one_array_is_refused(tmp_path):
    archive, other = tmp_path / "a.npz", tmp_path / "other.npy"
    np.savez(archive, a=np.ones((8, 8)))
    other.write_text("0 1 1 0")
    for file, said in [(archive, "is an archive"), (other, "is neither a number nor a Nu")]:
        with pytest.raises(UsageError, match=re.escape(f"in.mask={file} {said}")):
            eb.adapt(torch.nn.Conv2d(1, 1, 1), f"in.mask={file}")


@pytest.mark.parametrize(
    ("adapters", "give", "message"),
    [
        (
            "out.select=2",
            lambda x: (x, x[:1]),
            "net: out.select=2, but it returned a tuple (Tensor (3, 1, 32, 48), Tensor (1, 1, 32, "
            "48))",
        ),
        (
            "in.channels=3,out.channels=2",
            lambda x: x,
            "net: out.channels=2, but the output has 3 channels: only one can become several, and "
            "three one (out.channel=0 takes one of them)",
        ),
        (
            "in.pad=32",
            lambda x: x[..., ::2, ::2],
            "net: it returned a tensor (3, 1, 16, 32) for an input (3, 1, 32, 64), not "
            "(3, C, 32, 64)",
        ),
        (
            "out.scale=2",
            lambda x: x.repeat(1, 1, 4, 4),
            "net: it returned a tensor (3, 1, 128, 192) for an input (3, 1, 32, 48), not "
            "(3, C, 64, 96)",
        ),
        (
            "in.mean=0.1/0.2/0.3",
            lambda x: x,
            "net: in.mean has 3 values, but the images have 1 channels: give one value, or set "
            "in.channels=3",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_what_came_and_what_mends_it(
    adapters, give, message, images
):
    def net(x):
        return give(x)

    with pytest.raises(ModelError) as caught:
        eb.adapt(net, adapters)(images)
    assert str(caught.value) == message


def enlarge(x):
    """Super-resolution that is exactly equivariant."""
    return interpolate(x, scale_factor=2, mode="nearest")


def ignores_the_scale(x):
    """Of twice the size, but what is in it moves by as many pixels as the input."""
    return x.repeat(1, 1, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("frame", ["canonical", "reference"])
def test_super_resolution_is_held_to_a_shift_as_much_larger_as_its_output(images, frame):
    suite = eb.ImageCases(images, targets=images)
    exact = eb.evaluate(eb.adapt(enlarge, "out.scale=2"), suite, frame=frame)
    assert (exact.rows["eq_nmse"] == 0).all()
    assert exact.rows["eq_ssim"].tolist() == pytest.approx([1] * len(exact.rows))
    assert exact.rows["nmse"].isna().all()  # a truth of the input's size is none of the output
    caught = eb.evaluate(eb.adapt(ignores_the_scale, "out.scale=2"), suite, frame=frame)
    assert caught.summary["eq_nmse_worst"][0] > 0.1


def test_every_shift_of_super_resolution_is_found_by_probing(images):
    found = eb.evaluate(eb.adapt(enlarge, "out.scale=2"), images, shifts="all")
    assert found.probe.stride == (1, 1)
    assert found.summary["shifts"][0] == 3 * 32 * 48
    broken = eb.evaluate(
        eb.adapt(lambda x: enlarge(x) * torch.linspace(1, 2, 96), "out.scale=2"),
        images[:1, :, :8, :],
        shifts="grid:max=2,step=2",
    )
    assert broken.summary["eq_nmse_worst"][0] > 1e-4


def test_an_adapted_network_is_measured_like_one_that_was_written_so(images):
    torch.manual_seed(0)
    inner = nn.Conv2d(3, 3, 3, padding=1)
    adapted = eb.evaluate(eb.adapt(inner, "in.channels=3,out.channel=0"), images).rows
    by_hand = eb.evaluate(lambda x: inner(x.expand(-1, 3, -1, -1))[:, :1], images).rows
    columns = [c for c in adapted if c != "model"]
    pd.testing.assert_frame_equal(adapted[columns], by_hand[columns])


@pytest.mark.slow
def test_adapters_stand_in_the_manifest_and_padding_marks_the_results(cli, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\ndef build(): return torch.nn.Conv2d(3, 3, 3, padding=1)\n"
    )
    net = "net.py:build,in.channels=3,out.channels=1,in.pad=32,label=net"
    status, out, err = cli("run", "-m", net, "-m", "unet-aps,width=0.05", "-s",
                           "noise,n=1,size=48", "--out", "run")  # fmt: skip
    assert status == 0, err
    assert "padded and cropped back, which changes equivariance: net" in out
    described = json.loads((tmp_path / "run/run.json").read_text())["models"]["net"]
    assert described["adapters"] == {"in.channels": 3, "out.channels": 1, "in.pad": 32}
    rows = pd.read_parquet(tmp_path / "run/rows")
    assert rows.groupby("model")["padded"].all().to_dict() == {
        "net": True,
        "unet-aps,width=0.05": False,
    }
    assert cli("run", "-m", net, "-s", "noise,n=1,size=64", "--out", "whole")[0] == 0
    assert not pd.read_parquet(tmp_path / "whole/rows")["padded"].any()  # nothing to pad


def test_a_mistyped_adapter_stops_a_run_before_it_starts(cli):
    status, _, err = cli("run", "-m", "unet-aps,in.pda=2", "-s", "noise", "--out", "run")
    assert status == 2
    assert "there is no field 'in.pda'; did you mean in.pad?" in err


def test_adapters_belong_to_models(cli):
    status, _, err = cli("run", "-m", "unet-aps", "-s", "noise,in.pad=2", "--out", "run")
    assert status == 2
    assert "equibench: in.pad at suite 'noise': adapters belong to models" in err


def test_a_faster_copy_of_an_adapted_network_is_held_to_the_same_shifts(cli, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\ndef build(): return torch.nn.Upsample(scale_factor=2)\n"
    )
    options = ("-s", "noise,n=1,size=32", "--optimize", "channels-last", "--out", "run")
    status, _, err = cli("run", "-m", "net.py:build,out.scale=2,label=net", *options)
    assert status == 0, err
    assert pd.read_parquet(tmp_path / "run/rows")["eq_nmse"].max() == 0


def test_a_network_is_trained_without_adapters(cli):
    status, _, err = cli("train", "unet-aps,in.pad=16", "-s", "mri-sample")
    assert status == 2
    assert err == (
        "equibench: in.pad at unet-aps: a network is trained as it is; adapt it where it is "
        "measured\n"
    )


def test_layers_and_tensors_of_an_adapted_network_stay_where_the_harness_finds_them():
    adapted = eb.adapt(nn.Conv2d(1, 1, 3), "in.pad=2")
    assert isinstance(adapted, Adapted)
    assert [name for name, _ in adapted.named_parameters()] == ["network.weight", "network.bias"]


def half(x):
    return torch.nn.functional.avg_pool2d(x, 2)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_smaller_output_is_brought_to_the_grid_of_its_input_and_marked(mode):
    images = torch.randn(2, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    model = eb.adapt(half, f"out.resize={mode}")
    by_hand = torch.nn.functional.interpolate(
        half(images), scale_factor=2, mode="bilinear" if mode == "bilinear" else "nearest-exact"
    )
    assert torch.equal(model(images), by_hand)
    result = eb.evaluate(model, images, shifts="random:n=2,max=4", progress=False)
    assert set(result.rows["resized"]) == {mode}
    text = summary_table(result.summary)
    assert f"output resized to the grid of the input ({mode}): half" in text
    whole = eb.evaluate(
        eb.adapt(lambda x: x, f"out.resize={mode}"), images, shifts="random:n=1,max=4"
    )
    assert set(whole.rows["resized"]) == {""}


def test_labels_are_made_of_what_was_resized():
    images = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    model = eb.adapt(half, "out.resize=bilinear,out.labels=threshold:0")
    resized = eb.adapt(half, "out.resize=bilinear")(images)
    assert torch.equal(model(images)[:, 1:], (resized > 0).float())


def test_two_grids_to_compare_on_are_refused():
    with pytest.raises(UsageError, match=r"out\.resize and out\.scale are two grids to compare on"):
        eb.adapt(half, "out.resize=bilinear,out.scale=2")


@pytest.mark.long
def test_an_isolated_model_says_that_its_output_was_resized(cli, tmp_path):
    (tmp_path / "net.py").write_text("import torch\ndef build(): return torch.nn.AvgPool2d(2)\n")
    model = "net.py:build,out.resize=nearest,label=net"
    status, out, err = cli(
        "run", "-m", model, "-s", "noise,n=1,size=32", "--isolate", "--shifts", "random:n=1,max=4",
        "--out", "run",
    )  # fmt: skip
    assert status == 0, err
    assert "output resized to the grid of the input (nearest): net" in out


@pytest.mark.parametrize("frame", ["canonical", "reference"])
@pytest.mark.parametrize(("factor", "scale"), [(2, "0.5"), (4, "0.25")])
def test_a_smaller_output_is_compared_on_its_own_grid_at_shifts_that_it_divides(
    factor, scale, frame
):
    images = torch.randn(2, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    net = nn.Conv2d(1, 2, 3, stride=factor, padding=1)
    model = eb.adapt(net, f"out.scale={scale}")
    result = eb.evaluate(model, images, shifts="random:n=5,max=12", frame=frame, progress=False)
    rows = result.rows[result.rows["draw"] > 0]
    assert len(rows) == 10
    for row in rows.itertuples():
        assert row.dy % factor == row.dx % factor == 0
        x = images[int(row.case)][None]
        with torch.no_grad():
            y, shifted = net(x).double(), net(x.roll((row.dy, row.dx), (2, 3))).double()
        back = shifted.roll((-row.dy // factor, -row.dx // factor), (2, 3))
        error = float((back - y).square().sum() / y.square().sum())
        assert row.eq_nmse == pytest.approx(error, rel=1e-4)
    said = f"compared on the output's grid, 1/{factor} of the input's, at shifts that it divides"
    assert said in summary_table(result.summary)


def test_a_circular_network_commutes_with_the_shifts_that_its_smaller_grid_divides():
    images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    net = nn.Conv2d(1, 3, 3, stride=4, padding=1, padding_mode="circular")
    model = eb.adapt(net, "out.scale=0.25,out.labels=argmax")
    grid = "grid:max=16,step=4"
    rows = eb.evaluate(model, images, metrics=["iou"], shifts=grid, progress=False).rows
    assert len(rows) == 2 * 64
    assert (rows["eq_iou"] == 1).all()


@pytest.mark.parametrize(
    ("adapters", "options", "said"),
    [
        (
            "out.scale=0.25",
            {"shifts": "all"},
            "an output of 1/4 is compared at shifts by multiples",
        ),
        ("out.scale=0.25", {"shifts": "paper"}, "take --shifts random:… or grid:…, or out.resize"),
        ("out.scale=0.25", {"shifts": "", "transforms": ["d4"]}, "circular shifts alone, not d4"),
        ("out.scale=0.125", {}, "out.scale=0.125 does not divide images of 20×20: give it others"),
    ],
)
def test_what_a_smaller_grid_cannot_be_compared_at_is_refused(adapters, options, said):
    model = eb.adapt(nn.Conv2d(1, 1, 3, stride=4, padding=1), adapters)
    with pytest.raises(ModelError) as refused:
        eb.evaluate(model, torch.randn(1, 1, 20, 20), progress=False, **options)
    assert said in str(refused.value)


def test_a_factor_that_is_whole_neither_way_is_refused():
    with pytest.raises(UsageError, match=r"out\.scale = 0\.3: write a whole number, or 0\.5"):
        eb.adapt(half, "out.scale=0.3")
