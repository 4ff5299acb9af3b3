"""Made-up chests for CT, to train sample networks on: two patients are too few.

A body with lungs, vessels, organs, spine and ribs, each an ellipse of a density of its own, with
texture. They look like nobody; what a network learns of them is what streaks and noise are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equibench.foundation.seeds import generator

__all__ = ["DENSEST", "attenuation", "hounsfield", "phantom"]

DENSEST = 81.36
"""What LoDoPaB-CT divides attenuations (1/m) by."""
_WATER, _AIR = 20.0, 0.02

Image = NDArray[np.float64]
Ellipse = tuple[tuple[float, float], tuple[float, float], float]
"""Centre and half axes (y, x), and the angle in radians."""


def attenuation(density: NDArray[Any]) -> NDArray[Any]:
    """Attenuations as LoDoPaB-CT stores them, in 0 … 1, of densities in Hounsfield units."""
    return np.clip((density * (_WATER - _AIR) / 1000 + _WATER) / DENSEST, 0, 1)


def hounsfield(attenuation: NDArray[Any]) -> NDArray[Any]:
    """Hounsfield units of attenuations as LoDoPaB-CT stores them, in 0 … 1."""
    return (attenuation * DENSEST - _WATER) / (_WATER - _AIR) * 1000


def phantom(seed: object, size: int) -> Image:
    """A chest (size, size) as attenuations in 0 … 1, its front to the right as LoDoPaB's.

    It is larger than the image more often than not, as in LoDoPaB.
    """
    random = generator("chest", seed)
    seen = _Square(size, random.uniform(1.0, 1.9), tuple(random.normal(0, 0.15, 2)))
    density = np.full((size, size), -1000.0)
    height, width = random.uniform(0.5, 0.68), random.uniform(0.72, 0.92)
    body = seen.mask(((0, 0), (height, width), 0))
    wall = random.uniform(0.86, 0.94)
    muscle = seen.mask(((0, 0), (height * wall, width * wall), 0))
    density = _filled(density, body, random.uniform(-120, -70))
    density = _filled(density, muscle, random.uniform(20, 80))
    air = np.zeros_like(body)
    for side in (-1, 1):
        center = (random.normal(0, 0.03), side * width * random.uniform(0.42, 0.5))
        axes = (height * random.uniform(0.3, 0.75), width * random.uniform(0.2, 0.36))
        lung = seen.mask((center, axes, random.normal(0, 0.2)))
        density = _filled(density, lung, random.uniform(-880, -700))
        air = np.maximum(air, lung)
    for vessel in _scattered(random, int(random.integers(40, 120)), 0.004, 0.025, width):
        density = _filled(density, seen.mask(vessel) * air, random.uniform(-400, 150))
    for organ in _scattered(random, int(random.integers(4, 14)), 0.03, 0.2, width * 0.6):
        density = _filled(density, seen.mask(organ) * muscle, random.uniform(-150, 180))
    density = density + muscle * _texture(random, size)
    for bone, marrow in _bones(random, height, width):
        density = _filled(density, seen.mask(bone) * body, random.uniform(250, 900))
        density = _filled(density, seen.mask(marrow) * body, random.uniform(80, 300))
    return np.rot90(attenuation(density), -1).copy()


class _Square:
    """What is seen of a chest: a square about ``center``, ``zoom`` times as large as it could be.

    Lengths are in halves of the square's side at zoom 1.
    """

    def __init__(self, size: int, zoom: float, center: tuple[float, float]) -> None:
        side = np.linspace(-1, 1, size) / zoom
        self.y, self.x = np.meshgrid(side + center[0], side + center[1], indexing="ij")
        self.pixels = size / 2 * zoom

    def mask(self, ellipse: Ellipse) -> Image:
        """1 within an ellipse, 0 outside, with an edge of about a pixel."""
        (cy, cx), (ry, rx), angle = ellipse
        y, x, c, s = self.y - cy, self.x - cx, np.cos(angle), np.sin(angle)
        distance = np.hypot((y * c + x * s) / ry, (x * c - y * s) / rx)
        return np.asarray(np.clip((1 - distance) * min(ry, rx) * self.pixels + 0.5, 0, 1))


def _filled(density: Image, mask: Image, value: float) -> Image:
    return density + mask * (value - density)


def _scattered(
    random: np.random.Generator, count: int, least: float, most: float, reach: float
) -> Iterator[Ellipse]:
    """Ellipses about anywhere, small ones more often than large ones."""
    for _ in range(count):
        center = random.uniform(-0.6, 0.6), random.uniform(-reach, reach)
        size = least * (most / least) ** random.random()
        yield center, (size, size * random.uniform(0.4, 1)), random.uniform(0, np.pi)


def _bones(
    random: np.random.Generator, height: float, width: float
) -> Iterator[tuple[Ellipse, Ellipse]]:
    """Spine, breastbone and ribs, each with its marrow."""
    sizes = [random.uniform(0.06, 0.1), random.uniform(0.03, 0.05)]
    places = [(0.72 * height, 0.0), (-0.82 * height, random.normal(0, 0.02))]
    shapes: list[Ellipse] = [
        (place, (size, size * random.uniform(0.9, 1.5)), 0.0)
        for place, size in zip(places, sizes, strict=True)
    ]
    for _ in range(int(random.integers(8, 18))):
        at = random.uniform(0, 2 * np.pi)
        place = (0.82 * height * np.sin(at), 0.82 * width * np.cos(at))
        along = np.arctan2(-height * np.cos(at), width * np.sin(at))
        thick = random.uniform(0.012, 0.03)
        shapes.append((place, (thick, thick * random.uniform(2, 5)), float(along)))
    for center, (ry, rx), angle in shapes:
        rind = random.uniform(0.4, 0.75)
        yield (center, (ry, rx), angle), (center, (ry * rind, rx * rind), angle)


def _texture(random: np.random.Generator, size: int) -> Image:
    """Noise of three scales, in Hounsfield units."""
    from scipy import ndimage

    parts = []
    for blur in (0.8, 2.5, 8.0):
        noise = ndimage.gaussian_filter(random.standard_normal((size, size)), blur, mode="wrap")
        parts.append(noise / noise.std() * random.uniform(3, 25))
    return np.asarray(sum(parts))
