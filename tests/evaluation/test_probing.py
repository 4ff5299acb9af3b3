"""Which total stride a network is found to have, and where none can be found."""

from dataclasses import replace

import pytest
import torch

import equibench as eb
from equibench.errors import ModelError
from equibench.evaluation.model_on_suite import Evaluation
from equibench.measurement.run_config import validated
from equibench.measurement.settings import Settings


def probed(model, declared=None):
    images = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    suite = eb.ImageCases(images)
    settings = Settings.of(validated({"models": ["m"], "suites": ["s"], "device": "cpu"}, "test"))
    return Evaluation(model, "net", suite, settings, declared).probe(suite.cases())


def strided(x):
    small = torch.nn.functional.interpolate(x[..., ::2, ::2], scale_factor=2, mode="nearest")
    return small + x


def test_of_an_output_smaller_than_its_input_no_total_stride_is_found():
    half = eb.adapt(lambda x: torch.nn.functional.avg_pool2d(x, 2), "out.scale=0.5")
    with pytest.raises(ModelError, match=r"^net: of an output smaller .* it out\.resize=bilinear"):
        probed(half)


def test_a_network_that_raises_while_it_is_probed_is_named():
    def raises(x):
        raise ValueError("no")

    with pytest.raises(ModelError, match=r"net raised ValueError .*: no"):
        probed(raises)


@pytest.mark.parametrize("declared", [None, 0, -2, 2.0, "2"])
def test_what_is_declared_and_is_no_stride_counts_as_nothing(declared):
    plain, found = (replace(probed(strided, given), seconds=0) for given in (None, declared))
    assert repr(found) == repr(plain)
    assert found.classes == (2, 2)
