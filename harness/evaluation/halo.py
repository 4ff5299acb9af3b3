"""How tiles of an image fit together: the halo that they need, their grid, and their sizes.

A strip of an image, cut along one axis, passes through the model, and is held against the same
strip of what the model makes of the whole image. Beyond the halo nothing differs but by rounding,
if the strip begins on the model's grid. How far an output sees is the first guess at the halo:
strips are about as long as that takes, and as long as the image allows where the guess was wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from math import lcm

import torch
from torch import Tensor

from equibench.errors import ModelError, UsageError
from equibench.foundation.rounding import allowance
from equibench.inference.forward_pass import call
from equibench.measurement.settings import Settings
from equibench.measurement.shifted_passes import filled
from equibench.transforms.transform import inside

__all__ = ["OFFSETS", "AxisHalo", "Tiling", "tile_step", "tiling"]

OFFSETS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Where strips begin, in pixels: the first with which they fit is the grid."""

_MIDDLE = 0.9
"""The share of a strip's depth beyond which it counts as its middle."""

_ROOM = 3
"""Strips are so many times as long as an output sees to one side, and ``OFFSETS[-1]``."""

_FALLING = 3.0
"""How much smaller the error of a receptive field's edge is in the middle than half way there."""


@dataclass(frozen=True, eq=False)
class AxisHalo:
    """What tiles need along one axis.

    Args:
        tile: the strip's length, in pixels.
        grid: offsets must be multiples of it; None where no offset fits.
        halo: pixels at each border of a tile that are not used.
        seam: the largest error at each distance to a border or further, over the mean square of
            the output, with a halo of so many pixels, (distances,).
        middle: the error in the middle; 0 where it is rounding.
        falls: whether the error still falls there.
        border: the error at the image's own border, of a strip that begins there; 0 for rounding.
    """

    tile: int
    grid: int | None
    halo: int
    seam: Tensor
    middle: float
    falls: bool
    border: float


@dataclass(frozen=True)
class Tiling:
    """How tiles fit together without a seam, or that no halo helps.

    Args:
        axes: by name, y and x of images (z of volumes).
        least, step: square sizes that the model takes: ``least`` + n · ``step``, in pixels; None
            where that was not found.
    """

    axes: Mapping[str, AxisHalo]
    least: int | None
    step: int | None

    @property
    def fits(self) -> bool:
        """Whether there is a halo along every axis."""
        return all(axis.grid is not None for axis in self.axes.values())


def tiling(
    forward: Callable[[Tensor], Tensor],
    images: Sequence[Tensor],
    settings: Settings,
    label: str,
    place: str,
) -> Tiling:
    """Cut images (1, C, *size) of one size into strips, at more and more offsets.

    Raises:
        ModelError: the model raises, or returns what cannot be measured.
        UsageError: the images are too small.
    """
    trial = _Trial(forward, images, settings, label, place)
    count = images[0].ndim - 2
    axes = {
        name: trial.axis(dim) for name, dim in zip("zyx"[-count:], range(2, 2 + count), strict=True)
    }
    least, step = trial.sizes()
    return Tiling(axes, least, step)


class _Trial:
    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        images: Sequence[Tensor],
        settings: Settings,
        label: str,
        place: str,
    ) -> None:
        self.forward, self.images, self.settings = forward, images, settings
        self.label, self.place = label, place
        twice = [self._outputs(torch.cat((image, image))) for image in images]
        self.wholes = [outputs[:1] for outputs in twice]
        self.squares = [float(whole.square().mean()) or 1.0 for whole in self.wholes]
        floors = [
            float((o[1] - o[0]).square().max()) / s
            for o, s in zip(twice, self.squares, strict=True)
        ]
        self.rounding = allowance(settings.precision, max(floors))

    def axis(self, dim: int) -> AxisHalo:
        """What one axis needs."""
        longest = self.images[0].shape[dim] - OFFSETS[-1] - 1
        guess = _ROOM * self.reach(dim) + OFFSETS[-1]
        if guess < longest:
            with suppress(UsageError):  # it takes no tiles as short as that
                found = self._of_tile(dim, self._tile(dim, guess))
                if found.grid is not None:
                    return found
        return self._of_tile(dim, self._tile(dim, longest))

    def reach(self, dim: int) -> int:
        """How far along an axis the output sees: what other pixels on a line in the middle change.

        Less where that is lost in what follows, or smaller than rounding.
        """
        reach, n = 0, self.images[0].shape[dim]
        others = torch.cat(list(self.images))
        line = others.narrow(dim, n // 2, 1)
        line.copy_(line.flip(tuple(range(2, line.ndim))) + others.std())
        outputs = zip(self._outputs(others), self.wholes, self.squares, strict=True)
        for output, whole, square in outputs:
            changed = (output[None] - whole).square() / square
            lines = changed.movedim(dim, 0).flatten(1).amax(dim=1)
            scale = len(lines) // n
            seen = torch.nonzero(lines > self.rounding).flatten().cpu() // scale
            if len(seen):
                reach = max(reach, int((seen - n // 2).abs().max()))
        return reach

    def _of_tile(self, dim: int, tile: int) -> AxisHalo:
        """What strips of one length say."""
        n = self.images[0].shape[dim]
        offsets = [k for k in OFFSETS if k + tile < n]
        errors = self._by_distance(dim, offsets, tile)
        first = int(_MIDDLE * (tile // 2))
        deep = {k: float(error[first:].max()) for k, error in errors.items()}
        fitting = [k for k in offsets if deep[k] <= self.rounding]
        if not fitting:
            best = errors[min(deep, key=lambda k: deep[k])]
            half = float(best[len(best) // 2 : len(best) // 2 + max(1, len(best) // 8)].max())
            middle = min(deep.values())
            return AxisHalo(
                tile,
                None,
                0,
                _seam(best),
                middle,
                half > _FALLING * middle,
                self._border(dim, tile),
            )
        grid = fitting[0]
        worst = torch.stack([errors[k] for k in fitting if not k % grid]).amax(dim=0)
        above = torch.nonzero(worst > self.rounding)
        halo = int(above.max()) + 1 if len(above) else 0
        border = self._border(dim, tile)
        return AxisHalo(tile, grid, halo, _seam(worst), 0.0, False, border)

    def sizes(self) -> tuple[int | None, int | None]:
        """The least square image that the model takes, and the step to the next."""
        largest = min(self.images[0].shape[2:])
        candidates = range(largest, max(0, largest - 65), -1)
        taken = list(islice((n for n in candidates if self._takes(n)), 2))
        if len(taken) < 2:
            return None, None
        step = taken[0] - taken[1]
        for n in range(taken[0] % step or step, largest + 1, step):
            if self._takes(n):
                return n, step
        return None, None

    def _takes(self, n: int) -> bool:
        with suppress(ModelError, UsageError):
            image = self.images[0]
            self._outputs(inside(image, (slice(0, n),) * (image.ndim - 2)))
            return True
        return False

    def _tile(self, dim: int, most: int) -> int:
        """The longest strip of at most so many pixels that the model takes."""
        n = self.images[0].shape[dim]
        for unit in (32, 24, 20, 1):
            tile = most // unit * unit
            if tile >= 16:
                with suppress(ModelError):
                    self._outputs(self.images[0].narrow(dim, 0, tile))
                    return tile
        raise UsageError(
            f"{self.label} takes no tiles of images of {n} pixels: name a suite with larger ones, "
            "-s noise,size=256"
        )

    def _by_distance(self, dim: int, offsets: Sequence[int], tile: int) -> dict[int, Tensor]:
        """For each offset the largest error at each distance to the strip's nearer end."""
        found = self._lines(dim, offsets, tile)
        half = (tile + 1) // 2
        return {k: torch.maximum(lines, lines.flip(0))[:half] for k, lines in found.items()}

    def _border(self, dim: int, tile: int) -> float:
        """The error along the image's own border, of a strip that begins there."""
        error = float(self._lines(dim, [0], tile)[0][: tile // 4].max())
        return error if error > self.rounding else 0.0

    def _lines(self, dim: int, offsets: Sequence[int], tile: int) -> dict[int, Tensor]:
        """The largest squared error of each line of strips, over the mean square, (tile,)."""
        worst = {k: torch.zeros(tile, dtype=torch.float64) for k in offsets}
        for image, whole, square in zip(self.images, self.wholes, self.squares, strict=True):
            scale = whole.shape[-1] // image.shape[-1]
            for first in range(0, len(offsets), self.settings.batch):
                part = offsets[first : first + self.settings.batch]
                strips = torch.cat([image.narrow(dim, k, tile) for k in part])
                for k, output in zip(part, self._outputs(strips), strict=True):
                    wanted = whole[0].narrow(dim - 1, k * scale, tile * scale)
                    error = (output - wanted).square() / square
                    lines = error.movedim(dim - 1, 0).reshape(tile, -1).amax(dim=1).cpu()
                    worst[k] = torch.maximum(worst[k], lines)
        return worst

    def _outputs(self, images: Tensor) -> Tensor:
        """Outputs (n, C', *size) in float64."""
        batch = max(self.settings.batch, len(images))
        each = images[filled(len(images), batch).to(images.device)]
        return call(self.forward, each, self.label, self.place)[: len(images)].to(torch.float64)


def _seam(errors: Tensor) -> Tensor:
    """The largest error at each distance or further."""
    return errors.flip(0).cummax(dim=0).values.flip(0)


def tile_step(found: Tiling) -> int | None:
    """The step between sizes of tiles whose offsets lie on the grid, in pixels."""
    grids = [axis.grid for axis in found.axes.values() if axis.grid]
    return None if found.step is None else lcm(found.step, *grids)
