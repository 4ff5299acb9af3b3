"""Training in which images lose skip connections, so that a U-Net learns to use its deep levels.

What passes through the finest skip connections alone makes most of a good image, and is learnt
first: some small U-Nets then hardly use what lies deepest. An image that has lost those connections
can only be made from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from equibench.errors import UsageError
from equibench.models.unet import UNet

__all__ = ["decoders", "skip_dropout"]


def decoders(network: nn.Module) -> nn.ModuleList:
    """What takes the skip connections of a ``UNet``, perhaps within a treatment, finest first.

    Raises:
        UsageError: there is no ``UNet``.
    """
    unet = next((module for module in network.modules() if isinstance(module, UNet)), None)
    if unet is None:
        raise UsageError(
            f"{type(network).__name__} is none of equibench's U-Nets, whose skip connections are "
            "known: train it with --skip-dropout 0"
        )
    return unet.decoder


@contextmanager
def skip_dropout(
    network: nn.Module, share: float, images: int, random: np.random.Generator
) -> Iterator[None]:
    """While it lasts, images lose skip connections: features are replaced by their mean.

    Args:
        network: a ``UNet``, perhaps within a treatment.
        share: how probable it is that an image loses any. It then loses those of the finest
            level, the two finest ones … or all of them, with one probability.
        images: B, of the batch that the network is called with.

    Raises:
        UsageError: there is no ``UNet``.
    """
    levels = decoders(network)
    lost = random.integers(1, len(levels) + 1, images) * (random.random(images) < share)
    hooks = [
        decoder.register_forward_pre_hook(partial(_silence, torch.from_numpy(lost > level)))
        for level, decoder in enumerate(levels)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _silence(lost: Tensor, decoder: nn.Module, given: tuple[Tensor]) -> Tensor:
    """Features (B, 2C, *S) of a skip connection and of the level below, less those that are lost.

    Args:
        lost: (B,), which images lose the first C channels.
    """
    skip, deep = given[0].chunk(2, dim=1)
    space = tuple(range(2, skip.ndim))
    each = lost.to(skip.device).view(-1, *[1] * (skip.ndim - 1))
    return torch.cat((torch.where(each, skip.mean(space, keepdim=True), skip), deep), dim=1)
