"""By how much one map is another one moved: integer moves, and fractional ones by Fourier."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import product
from math import ceil, floor

import torch
from torch import Tensor

from equibench.metrics.squared_error import nmse
from equibench.transforms.circular_shift import roll

__all__ = ["Displacement", "error_of_moves", "error_over_all_moves", "fourier_move", "neighbours"]

Displacement = tuple[Fraction, Fraction]
"""(dy, dx) in samples of a map; fractional where an image's shift is no multiple of a stride."""


def neighbours(displacement: Displacement) -> list[tuple[int, int]]:
    """The integer moves next to a displacement: floor and ceiling along each axis."""
    rows, columns = (dict.fromkeys((floor(d), ceil(d))) for d in displacement)
    return list(product(rows, columns))


def fourier_move(maps: Tensor, displacement: Displacement) -> Tensor:
    """Move maps (B, C, H, W) circularly by a fraction of a sample, in float64.

    The spectrum is multiplied by exp(−2πi f·d). At the Nyquist frequency of an even size, where
    samples cannot tell +f from −f, it is their mean, cos(πd): real maps stay real, and an integer
    displacement is a roll.
    """
    maps = maps.to(torch.float64)
    for axis, d in zip((-2, -1), displacement, strict=True):
        size = maps.shape[axis]
        frequency = torch.fft.rfftfreq(size, dtype=torch.float64, device=maps.device)
        phase = torch.exp(-2j * torch.pi * frequency * float(d))
        if size % 2 == 0:
            phase.imag[-1] = 0
        spectrum = torch.fft.rfft(maps.movedim(axis, -1)) * phase
        maps = torch.fft.irfft(spectrum, n=size).movedim(-1, axis)
    return maps


def error_of_moves(reference: Tensor, moved: Tensor, moves: Iterable[tuple[int, int]]) -> Tensor:
    """The smallest NMSE (B,) of ``moved`` against ``reference`` (B, C, H, W) rolled by a move."""
    errors = [nmse(torch.roll(reference, move, (-2, -1)), moved, 1.0) for move in moves]
    return torch.stack(errors).amin(dim=0)


def error_over_all_moves(
    reference: Tensor, moved: Tensor, near: Iterable[tuple[int, int]], enough: float
) -> Tensor:
    """The smallest NMSE (B,) over every integer move of ``reference`` (B, C, H, W).

    The best move of all is where the circular cross-correlation of the two is largest; that is
    looked up only where none of the moves ``near`` by brings the error down to ``enough``.
    """
    error = error_of_moves(reference, moved, near)
    if bool((error <= enough).all()):
        return error
    height, width = reference.shape[-2:]
    spectra = [torch.fft.rfft2(maps.to(torch.float64)) for maps in (reference, moved)]
    cross = (spectra[0].conj() * spectra[1]).sum(dim=1)
    best = torch.fft.irfft2(cross, s=(height, width)).flatten(1).argmax(dim=1)
    moves = torch.stack((best // width, best % width), dim=1)
    return torch.minimum(error, nmse(roll(reference, moves), moved, 1.0))
