"""What every transform must keep: T⁻¹T x = x, and T_g T_h = T_gh where it is a group."""

import numpy as np
import torch
from torch import Tensor

from equibench.errors import UsageError
from equibench.foundation.seeds import generator
from equibench.transforms.transform import Elements, Region, Size, Transform, inside

__all__ = ["prove_group", "prove_inverse", "prove_once"]

_PROVED: set[tuple[str, Size]] = set()

_TRIED = 8
"""Elements of a case that are tried, spread over all of them."""


def prove_once(transform: Transform, size: Size) -> None:
    """``prove_inverse``, once for each transform and size in a process.

    Raises:
        UsageError: as that.
    """
    if (repr(transform), size) not in _PROVED:
        prove_inverse(transform, size)
        _PROVED.add((repr(transform), size))


def prove_inverse(transform: Transform, size: Size, seed: int = 0) -> None:
    """See that what a transform does to images of a size, its inverse undoes.

    Lossless transforms are held to it to the last bit, on noise; others on a smooth image, as far
    as their ``accuracy`` says.

    Raises:
        UsageError: it does not, or the transform has no elements at this size.
    """
    image = _noise(size) if transform.lossless else _smooth(size)
    identity = transform.identity(size)
    reference = transform.move(image, identity)
    if transform.moved_size(identity, size) == size and not torch.equal(reference, image):
        _refuse(transform, f"its identity {tuple(identity)} changes an image")
    for element in _tried(transform.elements(seed, "contract", "image", size)):
        named = transform.element(element) or str(tuple(element))
        moved = transform.move(image, element)
        wanted = transform.moved_size(element, size)
        if tuple(moved.shape[1:]) != tuple(wanted):
            shapes = f"{tuple(moved.shape[1:])}, and moved_size() says {tuple(wanted)}"
            _refuse(transform, f"under {named} an image {tuple(size)} becomes {shapes}")
        undone = transform.undo(moved, element, size)
        if undone.shape != reference.shape:
            shapes = f"{tuple(undone.shape)}, not {tuple(reference.shape)}"
            _refuse(transform, f"{named} is undone to an image {shapes}")
        region = transform.region(element, size)
        error = _nmse(_within(reference, region), _within(undone, region))
        if not error <= (0.0 if transform.lossless else transform.accuracy):
            _refuse(transform, f"undo() after move() leaves an NMSE of {error:.2g} under {named}")


def prove_group(transform: Transform, size: Size, seed: int = 0) -> None:
    """See that two elements of a group, one after the other, are the element it says.

    Raises:
        UsageError: they are not.
    """
    image = _noise(size) if transform.lossless else _smooth(size)
    elements = _tried(transform.elements(seed, "contract", "image", size))
    for first in elements:
        once = transform.move(image, first)
        for last in elements:
            both = transform.compose(last, first, size)
            twice, at_once = transform.move(once, last), transform.move(image, both)
            limit = 0.0 if transform.lossless else transform.accuracy
            error = _nmse(at_once, twice) if at_once.shape == twice.shape else float("inf")
            if not error <= limit:
                _refuse(transform, f"{tuple(first)}, then {tuple(last)} is not {tuple(both)}")


def _refuse(transform: Transform, what: str) -> None:
    name = transform.label or type(transform).__name__
    raise UsageError(
        f"transform {name} is wrong: {what}; mend it until equibench.testing.check_transform passes"
    )


def _tried(elements: Elements) -> list[list[float]]:
    if not len(elements):
        return []
    every = np.unique(np.linspace(0, len(elements) - 1, _TRIED).astype(int))
    found: list[list[float]] = elements[every].tolist()
    return found


def _within(image: Tensor, region: Region | None) -> Tensor:
    return image if region is None else inside(image, region)


def _nmse(reference: Tensor, other: Tensor) -> float:
    error = (reference.double() - other.double()).square().sum()
    return float(error / reference.double().square().sum()) if error else 0.0


def _noise(size: Size) -> Tensor:
    """Two channels of it: an inverse may also mix channels up."""
    noise = generator("contract", *size).standard_normal((2, *size))
    return torch.from_numpy(noise).float()


def _smooth(size: Size) -> Tensor:
    """Two channels of low frequencies, without a symmetry."""
    channels = []
    for channel in range(2):
        image = torch.ones(size, dtype=torch.float64)
        for axis, n in enumerate(size):
            turn = 2 * torch.pi * torch.arange(n, dtype=torch.float64) / n
            wave = 1 + 0.5 * torch.cos(turn + 0.7 * axis + channel) + 0.3 * torch.sin(2 * turn)
            image = image * wave.reshape([n if a == axis else 1 for a in range(len(size))])
        channels.append(image)
    return torch.stack(channels).float()
