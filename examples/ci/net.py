"""The sample project: a network with circular convolutions and adaptive polyphase sampling."""

import torch
from torch import nn

from equibench.models.polyphase import APSDown, APSUp

__all__ = ["build"]

PADDING = "circular"


class Net(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode = nn.Conv2d(1, channels, 3, padding=1, padding_mode=PADDING)
        self.down = APSDown(2)
        self.middle = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=PADDING)
        self.up = APSUp(2)
        self.decode = nn.Conv2d(2 * channels, 1, 3, padding=1, padding_mode=PADDING)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = torch.relu(self.encode(x))
        small, index = self.down(skip)
        small = torch.relu(self.middle(small))
        return self.decode(torch.cat((skip, self.up(small, index)), dim=1))


def build(channels: int = 8) -> Net:
    torch.manual_seed(0)  # in the place of trained weights
    return Net(channels)
