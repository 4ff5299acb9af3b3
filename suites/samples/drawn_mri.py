"""Brain MRI slices without end: few brains, each time scanned anew with another contrast.

Rotations, scales and shifts are left out on purpose: they would teach a network that where an
image lies does not matter, which is what is to be measured.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equibench.foundation.seeds import generator
from equibench.suites.samples.build import packaged, scanned
from equibench.suites.samples.mni152 import template_slices

__all__ = ["drawn_slice"]

OWN = 0.6
"""The share that is made of the embedded slices; the others are of the template."""
GAMMA = 0.5
"""Largest logarithm of the exponent of a contrast curve."""
WAVE = 0.125
"""Largest amplitude of the wave that a contrast curve has beside it."""


def drawn_slice(seed: int, number: int) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
    """K-space (640, 368) of a slice, and its image (320, 320) from all of it.

    The brain, its contrast, phase and noise follow from seed and number.

    Raises:
        UnavailableError, DataError: as ``template_slices``.
    """
    random = generator("mri-sample", "drawn", seed, number)
    own = random.random() < OWN
    slices = packaged("mri.npz")["magnitude_train"] if own else template_slices()
    image = slices[random.integers(len(slices))]
    return scanned(_contrast(image / image.max(), random), f"drawn/{seed}/{number}")


def _contrast(image: NDArray[Any], random: np.random.Generator) -> NDArray[np.float64]:
    """Another contrast of an image in [0, 1]: a smooth curve that need not be monotonous."""
    exponent = np.exp(random.uniform(-GAMMA, GAMMA))
    amplitude = random.uniform(-WAVE, WAVE)
    curve = image.astype(np.float64) ** exponent
    curve = np.clip(curve + amplitude * np.sin(2 * np.pi * curve), 0, None)
    return np.asarray(curve / curve.max())
