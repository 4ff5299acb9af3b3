"""Circular shifts of images by whole pixels, and of outputs back again."""

import torch
from torch import Tensor

__all__ = ["align", "roll"]


def roll(images: Tensor, shifts: Tensor) -> Tensor:
    """Shift every image of (B, C, H, W) circularly by its own (dy, dx) of shifts (B, 2)."""
    if images.device.type == "cpu":
        pairs = zip(images, shifts.tolist(), strict=True)
        rolled = [image.roll(shift, (-2, -1)) for image, shift in pairs]
        return rolled[0][None] if len(rolled) == 1 else torch.stack(rolled)
    batch, channels, height, width = images.shape
    rows = (torch.arange(height, device=images.device) - shifts[:, :1]) % height
    columns = (torch.arange(width, device=images.device) - shifts[:, 1:]) % width
    index = (rows[:, :, None] * width + columns[:, None, :]).reshape(batch, 1, -1)
    flat = images.reshape(batch, channels, -1)
    return flat.gather(2, index.expand(-1, channels, -1)).reshape(images.shape)


def align(outputs: Tensor, shifts: Tensor, images: Tensor) -> Tensor:
    """Roll the outputs of rolled images back.

    Args:
        outputs: (B, C', sH, sW); s is 1 but for super-resolution.
        shifts: (B, 2), by which the images were rolled.
        images: (B, C, H, W).
    """
    return roll(outputs, -shifts * (outputs.shape[-1] // images.shape[-1]))
