"""One forward pass, with its input rolled for every image and its output checked."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from equibench.errors import EquibenchError, ModelError
from equibench.inference.remedies import hint

__all__ = ["align", "attempt", "call", "described", "out_of_memory", "roll", "shape"]


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
        outputs: (B, C', sH, sW), as ``call`` gives them; s is 1 but for super-resolution.
        shifts: (B, 2), by which the images were rolled.
        images: (B, C, H, W).
    """
    return roll(outputs, -shifts * (outputs.shape[-1] // images.shape[-1]))


def call(model: Callable[[Tensor], object], images: Tensor, label: str, place: str) -> Tensor:
    """Pass images (B, C, H, W) through a model.

    A model with an attribute ``output_scale`` s gives (B, C', sH, sW).

    Args:
        label, place: what messages call the model, and the data that it was given.

    Raises:
        ModelError: it raises, or returns anything but a real tensor (B, C', H, W).
    """
    output = attempt(model, images, label, place)
    scale = getattr(model, "output_scale", 1)
    given = f"(input {shape(images)})"
    batch, _, *size = images.shape
    height, width = (n * scale for n in size)
    wanted = f"one tensor ({batch}, C, {height}, {width})"
    if not isinstance(output, Tensor):
        raise ModelError(
            f"{label} returned {described(output)} on {place} {given}, not {wanted}: "
            f"name the image among them, {_selection(output)}"
        )
    if output.ndim != 4 or output.shape[::2] != (batch, height) or output.shape[3] != width:
        raise ModelError(
            f"{label} returned a tensor {shape(output)} on {place} {given}, not {wanted}: "
            f"{_size_remedy(output, images)}"
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
            f"{label} raised {type(error).__name__} on {place} {given}: {reason}{hint(error)}"
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help; the CPU's allocator has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def shape(tensor: Tensor) -> str:
    """(B, C, H, W) in numbers."""
    return f"({', '.join(map(str, tensor.shape))})"


def described(output: object) -> str:
    """What a model returned, in words."""
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} ({', '.join(map(_member, output))})"
    if isinstance(output, dict):
        return f"a dict with the keys {', '.join(map(str, output))}"
    return f"a {type(output).__name__}"


def _member(value: object) -> str:
    return f"Tensor {shape(value)}" if isinstance(value, Tensor) else type(value).__name__


def _selection(output: object) -> str:
    """The adapter that takes the first image of an output that holds several."""
    members: Iterable[tuple[object, object]] = ()
    if isinstance(output, dict):
        members = output.items()
    elif isinstance(output, tuple | list):
        members = enumerate(output)
    found = [str(key) for key, value in members if isinstance(value, Tensor) and value.ndim == 4]
    return f"out.select={found[0] if found else 'KEY'}"


def _size_remedy(output: Tensor, images: Tensor) -> str:
    """The adapter that mends an output of another size."""
    if output.ndim == 5 or images.ndim == output.ndim + 1:
        return "name the image in it with out.select, or wrap it"
    ratios = {n / m for n, m in zip(output.shape[-2:], images.shape[-2:], strict=True)}
    (ratio,) = ratios if len(ratios) == 1 else (0.0,)
    if ratio > 1 and ratio.is_integer():
        return f"set out.scale={ratio:.0f} if it is to enlarge images"
    return "set in.pad=32 (or its total stride), or give images of a size that it keeps"
