"""By how much one map is another one moved: integer moves, and fractional ones by Fourier."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import product
from math import ceil, floor

import torch
from torch import Tensor

from equibench.metrics.squared_error import nmse
from equibench.transforms.circular_shift import roll
from equibench.transforms.transform import Size

__all__ = [
    "Displacement",
    "error_inside",
    "error_of_moves",
    "error_over_all_moves",
    "fourier_move",
    "neighbours",
]

Displacement = tuple[Fraction, ...]
"""In samples of a map along each axis; fractional where the image's shift is no multiple of a
stride."""


def neighbours(displacement: Displacement) -> list[Size]:
    """The integer moves next to a displacement: floor and ceiling along each axis."""
    return list(product(*(dict.fromkeys((floor(d), ceil(d))) for d in displacement)))


def fourier_move(maps: Tensor, displacement: Displacement) -> Tensor:
    """Move maps (B, C, *size) circularly by a fraction of a sample, in float64.

    The spectrum is multiplied by exp(−2πi f·d). At the Nyquist frequency of an even size, where
    samples cannot tell +f from −f, it is their mean, cos(πd): real maps stay real, and an integer
    displacement is a roll.
    """
    maps = maps.to(torch.float64)
    for axis, d in zip(range(-len(displacement), 0), displacement, strict=True):
        size = maps.shape[axis]
        frequency = torch.fft.rfftfreq(size, dtype=torch.float64, device=maps.device)
        phase = torch.exp(-2j * torch.pi * frequency * float(d))
        if size % 2 == 0:
            phase.imag[-1].zero_()
        spectrum = torch.fft.rfft(maps.movedim(axis, -1)) * phase
        maps = torch.fft.irfft(spectrum, n=size).movedim(-1, axis)
    return maps


def error_of_moves(reference: Tensor, moved: Tensor, moves: Iterable[Size]) -> Tensor:
    """The smallest NMSE (B,) of ``moved`` against ``reference`` (B, C, *size) rolled by a move."""
    dims = tuple(range(2, reference.ndim))
    errors = [nmse(torch.roll(reference, move, dims), moved, 1.0) for move in moves]
    return torch.stack(errors).amin(dim=0)


def error_over_all_moves(
    reference: Tensor, moved: Tensor, near: Iterable[Size], enough: float
) -> Tensor:
    """The smallest NMSE (B,) over every integer move of ``reference`` (B, C, *size).

    The best move of all is where the circular cross-correlation of the two is largest; that is
    looked up only where none of the moves ``near`` by brings the error down to ``enough``.
    """
    error = error_of_moves(reference, moved, near)
    if bool((error <= enough).all()):
        return error
    size = reference.shape[2:]
    dims = tuple(range(-len(size), 0))
    spectra = [torch.fft.rfftn(maps.to(torch.float64), dim=dims) for maps in (reference, moved)]
    cross = (spectra[0].conj() * spectra[1]).sum(dim=1)
    best = torch.fft.irfftn(cross, s=size, dim=dims).flatten(1).argmax(dim=1)
    moves = torch.stack(torch.unravel_index(best, size), dim=1)
    return torch.minimum(error, nmse(roll(reference, moves), moved, 1.0))


def error_inside(reference: Tensor, moved: Tensor, near: Iterable[Size]) -> Tensor | None:
    """The smallest error (B,) over some moves of ``reference`` (B, C, *size), borders left out.

    What lies within an eighth of the size of a border of the frame, or of where a move brings one,
    does not count; the error is relative to all of the reference.

    Returns:
        None where nothing else is left under one of the moves.
    """
    size, dims = reference.shape[2:], tuple(range(2, reference.ndim))
    energy = reference.double().square().flatten(1).sum(dim=1)
    errors = []
    for move in near:
        inside = torch.ones(size, dtype=torch.bool, device=reference.device)
        for axis, (n, k) in enumerate(zip(size, move, strict=True)):
            at = torch.arange(n, device=reference.device)
            away = torch.stack([torch.minimum(p, n - 1 - p) for p in (at, (at - k) % n)])
            each = (away >= max(1, n // 8)).all(dim=0)
            inside &= each.reshape([-1, *[1] * (len(size) - axis - 1)])
        if not inside.any():
            return None
        gap = (reference.double().roll(move, dims) - moved.double()) * inside
        errors.append(gap.square().flatten(1).sum(dim=1))
    least = torch.stack(errors).amin(dim=0)
    return torch.where(least == 0, least, least / energy)
