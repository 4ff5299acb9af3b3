"""One network of the zoo: how it is built, and what measuring it must come to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

__all__ = ["ZOO", "Network", "broken", "circular", "exact", "measured", "refused", "zero_padded"]

Outcome = Literal["exact", "broken", "measured"]


@dataclass(frozen=True)
class Network:
    """A network that is odd in one way, which its name says.

    Args:
        outcome: ``exact`` if it commutes with every shift up to rounding, ``broken`` if with
            hardly any, ``measured`` if it has numbers whatever they are; else what the message
            of one line must match.
        alike: whether a plain loop over images and shifts gets the same numbers: not where the
            network is random or keeps state.
        layers: what the message must match where ``attribute`` alone has nothing to measure.
    """

    name: str
    build: Callable[[], Any]
    outcome: str
    alike: bool = True
    layers: str | None = None

    @property
    def refused(self) -> bool:
        return self.outcome not in ("exact", "broken", "measured")


ZOO: dict[str, Network] = {}


def _entry(outcome: str, **more: Any) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def enter(build: Callable[[], Any]) -> Callable[[], Any]:
        name = build.__name__.strip("_").replace("_", "-")
        assert name not in ZOO, name
        ZOO[name] = Network(name, build, outcome, **more)
        return build

    return enter


def exact(**more: Any) -> Any:
    return _entry("exact", **more)


def broken(**more: Any) -> Any:
    return _entry("broken", **more)


def measured(**more: Any) -> Any:
    return _entry("measured", **more)


def refused(message: str, **more: Any) -> Any:
    return _entry(message, **more)


def circular(channels: int = 1) -> nn.Conv2d:
    """A convolution that commutes with every shift; the same weights each time."""
    return _conv(channels, "circular")


def zero_padded(channels: int = 1) -> nn.Conv2d:
    """A convolution that commutes with no shift."""
    return _conv(channels, "zeros")


def _conv(channels: int, mode: str) -> nn.Conv2d:
    conv = nn.Conv2d(1, channels, 3, padding=1, padding_mode=mode)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return conv
