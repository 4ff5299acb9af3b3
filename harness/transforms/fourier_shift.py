"""Circular shifts by fractions of a pixel, by the phase of the Fourier transform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from equibench.errors import UsageError
from equibench.foundation.lazy_imports import Lazy
from equibench.foundation.seeds import generator
from equibench.registry.registries import register_transform
from equibench.transforms.transform import Elements, Size, Transform

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")

__all__ = ["FourierShift", "fourier_shift"]


@register_transform("fourier")
@dataclass
class FourierShift(Transform):
    """Circular shifts by fractions of a pixel, by phase in float64.

    At the Nyquist frequency of an even size a shift by k multiplies by cos(πk), the mean of what
    the two signs of the frequency would get: that is all that is lost there and back.

    Args:
        n: how many are drawn, each component uniform on −max … max.
        max: in pixels.
        step: instead of drawing, all multiples of it on −max … max along each axis; 0 to draw.
    """

    n: int = 8
    max: float = 2.0
    step: float = 0.0

    name = label = "fourier"
    columns = ("inverse_nmse", "high_band")

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 < self.max < 2**20 or not 0 <= self.step <= self.max:
            raise UsageError("fourier: n is at least 1, max above 0, step from 0 to max")

    @property
    def seeded(self) -> bool:
        return not self.step

    def count(self, axes: int = 2) -> int:
        return self.n if not self.step else len(self._grid(axes))

    def elements(self, seed: int, suite: str, case: str, size: Size) -> Elements:
        if self.step:
            return self._grid(len(size))
        random = generator("fourier", seed, suite, case)
        return random.uniform(-self.max, self.max, (self.n, len(size)))

    def _grid(self, axes: int) -> Elements:
        reach = int(self.max / self.step + 1e-9)
        axis = np.arange(-reach, reach + 1) * self.step
        grid = np.stack(np.meshgrid(*[axis] * axes, indexing="ij"), axis=-1).reshape(-1, axes)
        moving: Elements = grid[grid.any(axis=1)]
        return moving

    def identity(self, size: Size) -> Sequence[float]:
        return (0.0,) * len(size)

    def move(self, image: Tensor, element: Sequence[float]) -> Tensor:
        return fourier_shift(image, element).to(image.dtype)

    def undo(self, output: Tensor, element: Sequence[float], size: Size) -> Tensor:
        scale = output.shape[-1] // size[-1]
        return fourier_shift(output, [-k * scale for k in element])

    def observe(
        self, image: Tensor, reference: Tensor, output: Tensor, element: Sequence[float]
    ) -> Mapping[str, Tensor]:
        """The image there and back; how much of it lies in the upper half of its frequencies."""
        original = image.double()
        back = self.undo(self.move(image, element), element, tuple(image.shape[1:]))
        axes = tuple(range(1, original.ndim))
        power = torch.fft.fftn(original, dim=axes).abs().square()
        high = torch.zeros(original.shape[1:], dtype=torch.bool, device=image.device)
        mean = torch.ones_like(high)
        for axis, n in enumerate(original.shape[1:]):
            frequency = torch.fft.fftfreq(n, dtype=torch.float64, device=image.device)
            shape = [n if a == axis else 1 for a in range(high.ndim)]
            high = high | (frequency.abs() > 0.25).reshape(shape)
            mean = mean & (frequency == 0).reshape(shape)
        power = power * ~mean
        return {
            "inverse_nmse": torch.stack(
                ((back - original).square().sum(), original.square().sum())
            ),
            "high_band": torch.stack(((power * high).sum(), power.sum())),
        }

    def observed(self, column: str, totals: Tensor) -> Sequence[Any]:
        part, whole = totals.unbind(1)
        values: list[float] = torch.where(part == 0, part, part / whole).tolist()
        return values


def fourier_shift(image: Tensor, shift: Sequence[float]) -> Tensor:
    """An image (…, *size) shifted circularly by (…) pixels of any fraction, in float64."""
    moved = image.double()
    for axis, k in zip(range(-len(shift), 0), shift, strict=True):
        if k == 0:
            continue
        n = moved.shape[axis]
        frequency = torch.fft.fftfreq(n, dtype=torch.float64, device=image.device)
        turn = torch.exp(-2j * torch.pi * frequency * k)
        if n % 2 == 0:
            turn.imag[n // 2].zero_()  # a number of the CPU would be waited for
        shape = [n if a == axis else 1 for a in range(-moved.ndim, 0)]
        moved = torch.fft.ifft(torch.fft.fft(moved, dim=axis) * turn.reshape(shape), dim=axis).real
    return moved
