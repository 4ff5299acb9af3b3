from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from equibench.models.training.circular_gradients import CircularGradients
from equibench.models.variants import VARIANTS


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize(
    ("shape", "sides"),
    [((2, 3, 7), (1, 2)), ((2, 3, 6, 5), (1, 0, 2, 3)), ((1, 2, 4, 5, 6), (1, 1, 2, 0, 0, 3))],
)
def test_padding_and_its_first_and_second_gradients_are_those_of_pytorch(
    shape: tuple[int, ...], sides: tuple[int, ...]
) -> None:
    x = random(*shape)
    expected = pad(x, sides, mode="circular")
    with CircularGradients():
        padded = pad(x, sides, mode="circular")
    assert type(padded.grad_fn) is not type(expected.grad_fn)
    assert torch.equal(padded, expected)
    weights = random(*padded.shape)
    found = torch.autograd.grad((padded * weights).square().sum(), x, create_graph=True)[0]
    wanted = torch.autograd.grad((expected * weights).square().sum(), x, create_graph=True)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    twice = [torch.autograd.grad(one.square().sum(), x)[0] for one in (found, wanted)]
    torch.testing.assert_close(*twice, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {"pad": (1, 1, 1, 1), "mode": "reflect"},
        {"pad": (1, 1, 1, 1), "value": 3.0},
        {"pad": (-1, 1, 0, 0), "mode": "circular"},
    ],
    ids=str,
)
def test_other_paddings_are_left_to_pytorch(arguments: dict[str, Any]) -> None:
    x = random(1, 1, 5, 5)
    expected = pad(x, **arguments)
    with CircularGradients():
        padded = pad(x, **arguments)
    assert torch.equal(padded, expected)
    assert type(padded.grad_fn) is type(expected.grad_fn)


@pytest.mark.parametrize("name", ["unet-baseline", "unet-aps-3"])
def test_a_network_learns_from_the_same_gradients(name: str) -> None:
    gradients = []
    for mode in (torch.enable_grad, CircularGradients):
        torch.manual_seed(0)
        network: nn.Module = VARIANTS[name](width=0.05).double()
        with mode():
            output = network(random(2, 1, 32, 32))
        output.square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
