"""The sample project's tests: one against a limit, one against the baseline beside it."""

import pytest
import torch
from net import build


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_it_is_equivariant(equivariance, images):
    equivariance(build(), images, nmse=1e-10)


def test_it_stays_as_it_is(equivariance, images):
    equivariance(build(), images)
