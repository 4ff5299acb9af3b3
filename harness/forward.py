"""One forward pass, with its input rolled for every image and its output checked."""

from collections.abc import Callable

import torch
from torch import Tensor

from equibench.errors import EquibenchError, ModelError

__all__ = ["attempt", "call", "out_of_memory", "roll", "shape"]


def roll(images: Tensor, shifts: Tensor) -> Tensor:
    """Shift every image of (B, C, H, W) circularly by its own (dy, dx) of shifts (B, 2)."""
    batch, channels, height, width = images.shape
    rows = (torch.arange(height, device=images.device) - shifts[:, :1]) % height
    columns = (torch.arange(width, device=images.device) - shifts[:, 1:]) % width
    index = (rows[:, :, None] * width + columns[:, None, :]).reshape(batch, 1, -1)
    flat = images.reshape(batch, channels, -1)
    return flat.gather(2, index.expand(-1, channels, -1)).reshape(images.shape)


def call(model: Callable[[Tensor], object], images: Tensor, label: str, place: str) -> Tensor:
    """Pass images (B, C, H, W) through a model.

    Args:
        label, place: what messages call the model, and the data that it was given.

    Raises:
        ModelError: it raises, or returns anything but a real tensor (B, C', H, W).
    """
    output = attempt(model, images, label, place)
    given = f"(input {shape(images)})"
    batch, _, height, width = images.shape
    wanted = f"one tensor ({batch}, C, {height}, {width})"
    if not isinstance(output, Tensor):
        raise ModelError(
            f"{label} returned {_kind(output)} on {place} {given}, not {wanted}: "
            "wrap it so that it returns the image alone"
        )
    if output.ndim != 4 or output[:, :1].shape != images[:, :1].shape:
        raise ModelError(
            f"{label} returned a tensor {shape(output)} on {place} {given}, not {wanted}: "
            "wrap it so that the output has the size of the input"
        )
    if output.device != images.device or output.layout != torch.strided:
        raise ModelError(
            f"{label} returned a {output.layout} tensor on {output.device} on {place} {given}, "
            f"not a dense one on {images.device}: wrap it so that it returns that"
        )
    if not output.is_floating_point():
        raise ModelError(
            f"{label} returned {output.dtype} on {place} {given}: "
            "wrap it so that it returns real numbers"
        )
    return output


def attempt(model: Callable[[Tensor], object], images: Tensor, label: str, place: str) -> object:
    """Pass images (B, C, H, W) through a model, whatever it returns.

    Raises:
        ModelError: it raises.
    """
    try:
        return model(images)
    except (EquibenchError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        if out_of_memory(error):
            raise
        reason = str(error).strip().split("\n")[0] or "no message"
        given = f"(input {shape(images)})"
        raise ModelError(
            f"{label} raised {type(error).__name__} on {place} {given}: {reason}"
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help; the CPU's allocator has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def shape(tensor: Tensor) -> str:
    """(B, C, H, W) in numbers."""
    return f"({', '.join(map(str, tensor.shape))})"


def _kind(output: object) -> str:
    if isinstance(output, tuple | list):
        members = ", ".join(type(member).__name__ for member in output)
        return f"a {type(output).__name__} ({members})"
    if isinstance(output, dict):
        return f"a dict with the keys {', '.join(map(str, output))}"
    return f"a {type(output).__name__}"
