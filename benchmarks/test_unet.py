"""Speed and equivariance of U-Nets in one file: ``pytest benchmarks --benchmark-json=FILE``."""

import math

import pytest
import torch

from equibench.loading.load import load_spec
from equibench.registry.specs import Spec

VARIANTS = ["unet-baseline", "unet-lpf-3", "unet-aps", "unet-aps-3"]


@pytest.fixture
def images():
    return torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward(benchmark, equivariance, images, variant):
    model = load_spec(Spec.parse(f"{variant},width=0.125")).model.eval()
    with torch.inference_mode():
        benchmark(model, images)
    result = equivariance(model, images, nmse=math.inf, shifts="random:n=5,max=16")
    equivariance.attach(benchmark, result)
