"""Every remedy in a message about a model mends it when it is followed."""

import re
import warnings
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

import equibench as eb
from equibench.errors import ModelError

SIZE = (2, 1, 24, 36)


@pytest.fixture(scope="module")
def grey():
    return torch.rand(SIZE, generator=torch.Generator().manual_seed(0))


@dataclass
class Prediction:
    loss: float
    sample: torch.Tensor


@dataclass
class Nested:
    name: str
    inner: object


Pair = namedtuple("Pair", "score image")


class Thing:
    def __init__(self, image):
        self.image = image


class Net(nn.Module):
    """A layer, and whatever a test does with it."""

    def __init__(self, layer, forward):
        super().__init__()
        self.layer, self.does = layer, forward

    def forward(self, x):
        return self.does(self.layer, x)


class Noise(nn.Module):
    def forward(self, x, sigma):
        return x * sigma[:, None, None, None]


class Masked(nn.Module):
    def forward(self, x, sampling_mask):
        assert sampling_mask.shape == (len(x), 1, *x.shape[2:])
        return x * sampling_mask


class Timed(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 1)

    def forward(self, x, t, *, level):
        return x * self.table(t)[:, :, None, None] + level[:, None, None, None]


def halving(times):
    """An encoder and decoder that add a skip connection, which fits where halves are whole."""

    def net(x):
        y = x
        for _ in range(times):
            y = max_pool2d(y, 2)
        return x + interpolate(y, scale_factor=2**times)

    return net


def cropping(x):
    return interpolate(max_pool2d(x, 8), scale_factor=8)


class Deep3d(nn.Module):
    """A network of volumes with four halvings: eight slices are too few."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 1, 3, padding=1)

    def forward(self, x):
        y = nn.functional.max_pool3d(self.conv(x), (16, 1, 1))
        return x + nn.functional.interpolate(y, scale_factor=(16.0, 1.0, 1.0))


def scripted(network):
    with warnings.catch_warnings():  # deprecated; files of it will be around for years
        warnings.simplefilter("ignore")
        return torch.jit.script(network)


def patches(x):
    """Tokens (B, N, C) of 4×4 pixels."""
    return nn.functional.unfold(x, 4, stride=4).transpose(1, 2)


ADAPTERS = [
    (lambda x: (None, x), "out.select=1"),
    (lambda x: {"a": 1, "image": x}, "out.select=image"),
    (lambda x: {"low": x[..., ::2, ::2], "aux": [x, x]}, "out.select=aux/0"),
    (lambda x: Prediction(1.0, x), "out.select=sample"),
    (lambda x: Nested("n", [None, Prediction(1.0, x)]), "out.select=inner/1/sample"),
    (lambda x: Pair(x.mean(), x), "out.select=1"),
    (lambda x: Thing(x), "out.select=image"),
    (lambda x: x.repeat(1, 1, 3, 3), "out.scale=3"),
    (lambda x: (x.repeat(1, 1, 2, 2),), "out.select=0,out.scale=2"),
    (nn.Conv2d(3, 1, 3, padding=1), "in.channels=3"),
    (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)), "in.channels=3"),
    (nn.Conv3d(1, 1, 3, padding=1), "in.volume=8"),
    (scripted(nn.Conv3d(1, 1, 3, padding=1)), "in.volume=8"),
    (Deep3d(), "in.volume=16"),
    (Noise(), "in.noise=0.05"),
    (Masked(), "in.mask=1"),
    (Timed(), "in.t=1,in.level=1"),
    (halving(3), "in.pad=8"),
    (halving(4), "in.pad=16"),
    (cropping, "in.pad=8"),
    (Net(nn.Conv2d(3, 3, 3, padding=1), lambda layer, x: (halving(3)(layer(x)),)),
     "in.channels=3,in.pad=8,out.select=0"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "keys"), ADAPTERS)
def test_the_adapters_in_a_message_mend_the_model(model, keys, grey):
    with pytest.raises(ModelError) as caught:
        eb.evaluate(model, grey, batch=2)
    assert re.search(r"[:;] set (\S+)$", str(caught.value))[1] == keys
    found = eb.evaluate(eb.adapt(model, keys), grey, batch=2, shifts="grid:max=1,step=1")
    assert found.rows["eq_nmse"].notna().all()


def test_an_adapter_is_advised_beside_those_that_are_there(grey):
    model = eb.adapt(lambda x: (halving(3)(x),), "out.select=0")
    with pytest.raises(ModelError, match=r"(?m); set in\.pad=8$"):
        eb.evaluate(model, grey)
    eb.evaluate(eb.adapt(model.network, "out.select=0,in.pad=8"), grey, shifts="grid:max=1,step=1")


@pytest.mark.parametrize(
    ("model", "advice", "mended"),
    [
        (
            lambda x: x.mean((2, 3)).repeat(1, 1000),
            "returned a tensor (2, 1000) on images, case 00000 (input (2, 1, 24, 36)), not one "
            "tensor (2, C, 24, 36): it gives no image but a vector for each: name what builds its "
            "image or its feature maps",
            lambda x: x,
        ),
        (
            lambda x: x.mean(),
            "a tensor () on images, case 00000 (input (2, 1, 24, 36)), not one tensor "
            "(2, C, 24, 36): it gives no image but a vector for each: name what builds its image "
            "or its feature maps",
            lambda x: x,
        ),
        (
            patches,
            "these are tokens: wrap it to return output.transpose(1, 2).unflatten(2, (6, 9)), "
            "with torch.nn.Upsample(scale_factor=4) behind it",
            lambda x: nn.Upsample(scale_factor=4)(patches(x).transpose(1, 2).unflatten(2, (6, 9))),
        ),
        (
            lambda x: x.flatten(2).transpose(1, 2),
            "these are tokens: wrap it to return output.transpose(1, 2).unflatten(2, (24, 36))",
            lambda x: x.flatten(2).transpose(1, 2).transpose(1, 2).unflatten(2, (24, 36)),
        ),
        (
            lambda x: max_pool2d(x, 2),
            "not one tensor (2, C, 24, 36): set out.resize=bilinear",
            eb.adapt(lambda x: max_pool2d(x, 2), "out.resize=bilinear"),
        ),
        (
            lambda x: x[:, 0],
            "it lacks the channels: wrap it to return output[:, None]",
            lambda x: x[:, 0][:, None],
        ),
        (
            lambda x: x.permute(0, 2, 3, 1),
            "its channels come last: wrap it to return output.permute(0, 3, 1, 2)",
            lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
        ),
        (
            lambda x: (x > 0).long(),
            "torch.int64 on images, case 00000 (input (2, 1, 24, 36)), not real numbers: wrap it "
            "so that it returns real numbers",
            lambda x: (x > 0).long().float(),
        ),
        (
            lambda x: {"loss": x.mean(), "n": 3},
            "a dict with the keys loss, n on images, case 00000 (input (2, 1, 24, 36)), not one "
            "tensor (2, C, 24, 36): name what returns an image: no member of it is one",
            lambda x: x,
        ),
    ],
)
def test_what_no_adapter_mends_is_told_in_words_that_help(model, advice, mended, grey):
    with pytest.raises(ModelError) as caught:
        eb.evaluate(model, grey, batch=2)
    assert str(caught.value).endswith(advice)
    eb.evaluate(mended, grey, batch=2, shifts="grid:max=1,step=1")


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp64"])
def test_a_network_with_weights_of_its_own_precision_is_measured_in_that(precision, grey):
    kinds = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp64": torch.float64}
    network = nn.Conv2d(1, 1, 3, padding=1).to(kinds[precision])
    with pytest.raises(ModelError) as caught:
        eb.evaluate(network, grey)
    assert str(caught.value).endswith(f"; its weights are {str(kinds[precision])[6:]}: --precision "
                                      f"{precision}")  # fmt: skip
    found = eb.evaluate(network, grey, precision=precision, shifts="grid:max=1,step=1")
    assert found.rows["eq_nmse"].notna().all()
    assert network.weight.dtype == kinds[precision]


def test_the_cause_in_torchscript_is_not_cut_off(grey):
    network = scripted(nn.Conv2d(3, 1, 3, padding=1))
    with pytest.raises(ModelError) as caught:
        eb.evaluate(eb.adapt(network, "in.channels=2"), grey, batch=2)
    assert "expected input[2, 2, 24, 36] to have 3 channels, but got 2 channels" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_attributes_of_a_network_that_are_called_like_ours_are_its_own(grey):
    class Named(nn.Module):
        output_scale, padded, added, unmoved = 2, True, torch.ones(1), torch.ones(1)

        def forward(self, x):
            return x

    rows = eb.evaluate(Named(), grey).rows
    assert (rows["eq_nmse"] == 0).all()
    assert not rows["padded"].any()


def test_a_network_with_a_bug_is_not_tried_with_other_sizes(grey):
    calls = []

    def broken(x):
        calls.append(x)
        return undefined(x)  # noqa: F821

    with pytest.raises(ModelError, match=r"(?m)name 'undefined' is not defined$"):
        eb.evaluate(broken, grey)
    assert {images.shape[-2:] for images in calls} == {grey.shape[-2:]}
