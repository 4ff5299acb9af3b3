"""What total stride a model has, found by trying: declared ones are verified, never believed.

The shifts along one axis that commute with a model form a subgroup of the cyclic group of the
axis's n pixels, and so are the multiples of one divisor of n. That divisor is found prime by
prime, in a handful of forward passes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d

from equibench.cases.suite import Suite
from equibench.errors import DataError
from equibench.foundation.rounding import allowance
from equibench.foundation.seeds import generator
from equibench.measurement.batching import load_case
from equibench.measurement.settings import Settings
from equibench.measurement.shifted_passes import shifted_outputs
from equibench.metrics.squared_error import nmse
from equibench.transforms.transform import Size, as_shift

__all__ = ["PROBED", "Probe", "probe"]

PROBED = 2
"""Cases whose first image a model is probed with, beside noise."""

_MEANS = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}

_MULTIPLES = 2
"""Random multiples of the stride that each image is tried with in the end."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Which shifts commute with a model on images of one size.

    Args:
        size: (L,), (H, W) or (D, H, W) of the images, in pixels.
        channels: of the images.
        stride: the smallest, along each axis, whose multiples commute with the model on every image
            tried; equal to ``size`` where only whole turns do.
        declared: the total stride that the model or its registration names.
        verified: whether multiples of the declared stride commute; None where none is declared,
            or none that divides the size.
        floor: NMSE of the same image in another slot of a batch, the largest of all images.
        allowance: the NMSE that counts as rounding.
        deviation: the largest NMSE at the multiples of ``stride`` that were tried; where no
            shift commutes, the smallest NMSE at any.
        at: the shift of ``deviation`` and of ``error``.
        error: squared error per pixel (*size) there, the mean of channels and images; None where
            it is rounding.
        images: how many were tried, the first of them noise.
        forwards: images passed through the model.
        seconds: that one of them took.
    """

    size: Size
    channels: int
    stride: Size
    declared: int | None
    verified: bool | None
    floor: float
    allowance: float
    deviation: float
    at: Size
    error: Tensor | None
    images: int
    forwards: int
    seconds: float

    @property
    def periodic(self) -> bool:
        """Whether any shift commutes but whole turns: boundaries wrap around, sizes divide."""
        return self.stride != self.size

    @property
    def classes(self) -> Size:
        """The stride whose residue classes stand for all shifts.

        It is the declared one where that holds: where smaller shifts commute as well, they may do
        so only up to rare decisions of adaptive layers, which must not be skipped.
        """
        if self.verified and self.declared:
            return (self.declared,) * len(self.size)
        return self.stride

    @property
    def border(self) -> float:
        """Mean squared error within an eighth of the size of the borders, over that inside.

        The shifted image had its borders elsewhere: those count as borders too.
        """
        assert self.error is not None
        inside = torch.ones(self.size, dtype=torch.bool)
        for axis, (size, shift) in enumerate(zip(self.size, self.at, strict=True)):
            from_border = torch.arange(size)
            seams = (from_border, (from_border + shift) % size)
            along = torch.stack([(s >= size // 8) & (s < size - size // 8) for s in seams])
            inside &= along.all(dim=0).reshape([-1, *[1] * (len(self.size) - axis - 1)])
        return float(self.error[~inside].mean() / self.error[inside].mean())

    def cost(self, label: str, suite: Suite, cases: int) -> str:
        """What all shifts cost, in a line."""
        every, size = prod(self.size), "×".join(map(str, self.size))
        if self.periodic:
            return (
                f"{label} on {suite.label}: multiples of {as_shift(self.classes)} commute, so that "
                f"{prod(self.classes)} shifts stand for all {every} of {size}"
            )
        total = cases * suite.images_per_case * every
        hours = total * self.seconds / 3600
        return (
            f"{label} on {suite.label}: no shift of {size} commutes but whole turns: "
            f"{total} evaluations, about "
            + (f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min")
        )

    @property
    def described(self) -> dict[str, Any]:
        """What manifests keep."""
        names = ("size", "stride", "classes", "declared", "verified", "floor", "deviation", "at")
        return {name: getattr(self, name) for name in names}


def probe(
    forward: Callable[[Tensor], Tensor],
    label: str,
    suite: Suite,
    cases: Sequence[str],
    settings: Settings,
    declared: int | None = None,
) -> Probe:
    """Find the total stride of a model on noise and on the first image of each of some cases.

    Args:
        forward: (B, C, *size) to (B, C', *size), on its device and in its precision.
        declared: a stride to begin with.

    Raises:
        ModelError: the model raises, or returns what cannot be measured.
        DataError: none of the cases can be loaded.
    """
    loaded = [load_case(suite, name) for name in cases]
    images = [c.input[:1].to(settings.device) for c in loaded if not isinstance(c, DataError)]
    if not images:
        raise next(case for case in loaded if isinstance(case, DataError))
    noise = _noise_like(images[0], generator("probe", settings.seed, suite.name))
    images = [noise, *(image for image in images if image.shape == noise.shape)]
    trials = _Trials(forward, f"{suite.label}, probe", label, images, settings)
    size = tuple(noise.shape[2:])
    start, verified = size, None
    if declared and not any(n % declared for n in size):
        declared_stride = (declared,) * len(size)
        verified = all(trials.commute(_along_each(dict(enumerate(declared_stride)), len(size))))
        start = declared_stride if verified else size
    stride = _smallest(trials, start)
    if stride != size:
        random = generator("multiples", settings.seed, suite.name)
        turns = [n // s for n, s in zip(size, stride, strict=True)]
        multiples = [
            tuple(
                int(random.integers(1, max(2, t))) * s for t, s in zip(turns, stride, strict=True)
            )
            for _ in range(_MULTIPLES)
        ]
        if not all(trials.commute(multiples)):
            stride, verified = size, False if verified else verified
    at, deviation = trials.telling(stride if stride != size else None)
    return Probe(
        size=size,
        channels=noise.shape[1],
        stride=stride,
        declared=declared,
        verified=verified,
        floor=trials.floor,
        allowance=trials.allowance,
        deviation=deviation,
        at=at,
        error=None if stride != size else trials.error(at),
        images=len(images),
        forwards=trials.forwards,
        seconds=trials.elapsed / trials.forwards,
    )


class _Trials:
    """Images, their outputs, and the error of every shift tried so far."""

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        where: str,
        label: str,
        images: Sequence[Tensor],
        settings: Settings,
    ) -> None:
        self.model, self.where, self.label = forward, where, label
        self.images, self.settings = images, settings
        self.forwards, self.elapsed = 0, 0.0
        self.errors: dict[Size, float] = {}
        slots = min(2, settings.batch)
        unmoved = (0,) * (images[0].ndim - 2)
        outputs = [self._outputs(image, [unmoved] * slots) for image in images]
        self.references = [output[:1] for output in outputs]
        self.floor = max(
            float(nmse(o[:1], o[-1:], 1.0)) if slots > 1 else float("nan") for o in outputs
        )
        self.allowance = allowance(settings.precision, self.floor)

    def commute(self, shifts: Sequence[Size]) -> list[bool]:
        """Which shifts commute with the model on all images; each is tried until one refutes it."""
        alive = list(dict.fromkeys(shifts))
        for image, reference in zip(self.images, self.references, strict=True):
            if not alive:
                break
            outputs = self._outputs(image, alive)
            errors = nmse(reference.expand_as(outputs), outputs, 1.0).tolist()
            for shift, error in zip(alive, errors, strict=True):
                self.errors[shift] = max(self.errors.get(shift, 0.0), error)
            # NaN commutes with nothing
            alive = [s for s, e in zip(alive, errors, strict=True) if e <= self.allowance]
        return [shift in alive for shift in shifts]

    def telling(self, stride: Size | None) -> tuple[Size, float]:
        """The worst multiple of a stride, or the best shift of all."""
        if stride is None:
            return min(self.errors.items(), key=lambda item: item[1])
        multiples = {
            shift: error
            for shift, error in self.errors.items()
            if not any(k % s for k, s in zip(shift, stride, strict=True))
        }
        return max(multiples.items(), key=lambda item: item[1])

    def error(self, shift: Size) -> Tensor:
        """Squared error per pixel (*size) under a shift, in the unshifted image's coordinates."""
        maps = [
            (self._outputs(image, [shift]) - reference).square().mean(dim=(0, 1))
            for image, reference in zip(self.images, self.references, strict=True)
        ]
        error = torch.stack(maps).mean(dim=0)
        # of super-resolution, the mean over what one pixel became
        factor = error.shape[-1] // self.images[0].shape[-1]
        return _MEANS[error.ndim](error[None, None], factor)[0, 0].cpu()

    def _outputs(self, image: Tensor, shifts: Sequence[Size]) -> Tensor:
        """Outputs (n, C, *size) in float64 for shifts of an image (1, C, *size), rolled back."""
        begin = perf_counter()
        batch = self.settings.batch
        outputs = list(shifted_outputs(self.model, image, shifts, batch, self.label, self.where))
        self.forwards += batch * len(outputs)
        result = torch.cat(outputs)
        if result.is_cuda:
            torch.cuda.synchronize(result.device)
        self.elapsed += perf_counter() - begin
        return result


def _smallest(trials: _Trials, start: Size) -> Size:
    """Divide a stride that holds by primes for as long as it holds, all axes at once."""
    stride, primes = list(start), [_primes(n) for n in start]
    while any(primes):
        smaller = {a: stride[a] // primes[a][0] for a in range(len(start)) if primes[a]}
        shifts = _along_each(smaller, len(start))
        for (axis, n), holds in zip(smaller.items(), trials.commute(shifts), strict=True):
            if holds:
                stride[axis] = n
            if not holds or n % primes[axis][0]:
                primes[axis].pop(0)
    return tuple(stride)


def _along_each(pixels: Mapping[int, int], axes: int) -> list[Size]:
    """Shifts along one axis each, by so many pixels."""
    return [tuple(n if a == axis else 0 for a in range(axes)) for axis, n in pixels.items()]


def _primes(n: int) -> list[int]:
    """The different prime factors of a number."""
    found, factor = [], 2
    while factor * factor <= n:
        if n % factor == 0:
            found.append(factor)
            while n % factor == 0:
                n //= factor
        factor += 1
    return found + ([n] if n > 1 else [])


def _noise_like(image: Tensor, random: Any) -> Tensor:
    """White noise with the mean and deviation of an image."""
    noise = torch.from_numpy(random.standard_normal(image.shape)).to(image)
    return noise * image.std() + image.mean()
