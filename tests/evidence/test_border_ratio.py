"""What a probe says of borders."""

from math import inf

import torch
from torch import nn

import equibench as eb
from equibench.evaluation.model_on_suite import Evaluation
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings


def test_one_zero_padded_convolution_has_no_error_inside():
    images = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    config = RunConfig(models=("m",), suites=("s",), device="cpu")
    suite = eb.ImageCases(images)
    suite.label = "images"
    torch.manual_seed(0)
    network = nn.Conv2d(1, 1, 3, padding=1)
    found = Evaluation(network, "net", suite, Settings.of(config)).probe(["00000"])
    assert not found.periodic
    # where there is rounding inside, the ratio is its inverse
    assert found.border == inf or found.border > 1e6
