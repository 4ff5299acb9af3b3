"""A limit that is broken names the layer to blame, and a treatment that mends it."""

import pytest
import torch

import equibench as eb

pytestmark = pytest.mark.slow


def message(network, **options):
    images = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(AssertionError) as raised:
        eb.assert_shift_equivariant(network, images, shifts="random:n=4,max=8", **options)
    return str(raised.value).splitlines()


def conv(mode="zeros"):
    torch.manual_seed(0)
    return torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode)


POOLING = (torch.nn.MaxPool2d(2), torch.nn.Upsample(scale_factor=2))


@pytest.mark.parametrize(
    ("layers", "blamed", "remedy"),
    [
        ([conv("circular"), torch.nn.ReLU(), conv()], "2 (Conv2d", "mend=circular "),
        ([conv("circular"), *POOLING, conv("circular")], "1 (MaxPool2d", "mend=canonical "),
        ([conv(), *POOLING], "1 (MaxPool2d", "mend=circular+canonical "),
    ],
)
def test_the_message_names_the_layer_and_a_treatment_that_was_tried(layers, blamed, remedy):
    network = torch.nn.Sequential(*layers).eval()
    first, line = message(network)
    assert first.startswith("worst equivariance NMSE is ")
    assert f"layer to blame: {blamed}" in line
    assert remedy in line
    # and it works when it is followed
    name = remedy.removeprefix("mend=").strip()
    images = torch.randn(1, 1, 16, 16)
    eb.assert_shift_equivariant(eb.mend(network, name), images, shifts="all")


def test_what_no_treatment_mends_gets_none():
    class Position(torch.nn.Module):
        def forward(self, x):
            return x * torch.linspace(0.5, 1, x.shape[-1])

    assert not any("mend=" in line for line in message(Position()))
