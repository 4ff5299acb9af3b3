"""Low-dose CT images without end: few bodies, each scanned twice, and the scans mixed anew.

Filtered back projection is linear, so a + t·(b − a) of two scans a and b of one body is an image of
it with noise of another dose: of twice the dose halfway between them, of less beyond them.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from equibench.errors import UnavailableError
from equibench.foundation.platform_folders import cache_folder
from equibench.foundation.seeds import generator
from equibench.suites.fbp import HALF_SIDE, detector, reconstructor
from equibench.suites.reading.files import build_once
from equibench.suites.samples.build import packaged
from equibench.suites.samples.chest_phantoms import DENSEST, phantom

__all__ = ["drawn_scan", "scan"]

BODIES = 96
"""The slices of the sample's own training patient, and phantoms for the rest."""
OWN = 0.5
"""The share of drawn images that is made of the patient's slices."""
BEYOND = 0.75
"""How far beyond the two scans they are mixed: there the noise is 1.8 times as large."""
ANGLES, BINS, PHOTONS = 1000, 513, 4096
"""Of LoDoPaB-CT: projections, detector bins, and the mean count in a bin with nothing before it."""
FEWER = PHOTONS // 4
"""The count with which bodies are scanned: the patient of the training part is slender, and those
through whom fewer photons come are to be denoised as well."""
LEAST = 0.1
"""The count that stands for none, as LoDoPaB-CT has it."""

Image = NDArray[np.float32]


def drawn_scan(seed: int, number: int) -> tuple[Image, Image]:
    """A low-dose image (362, 362) and what was scanned; which and its noise follow from both.

    The first call scans all bodies, for some minutes, and keeps them in the cache.

    Raises:
        UnavailableError: ASTRA is not installed.
        DataError: the cache cannot be written.
    """
    random = generator("ct-sample", "drawn", seed, number)
    own = len(packaged("ct.npz")["ground_truth_train"])
    first, last = (0, own) if random.random() < OWN else (own, BODIES)
    folder = build_once(cache_folder() / "ct-drawn-v2", _scan_bodies)
    at = int(random.integers(first, last))
    body, a, b = np.load(folder / "scans.npy", mmap_mode="r")[at]
    share = np.float32(random.uniform(-BEYOND, 1 + BEYOND))
    return a + share * (b - a), np.array(body)


def scan(body: Image, name: object, photons: float) -> Image:
    """The filtered back projection (H, H) of a low-dose scan of a body (H, H), noise by name.

    Args:
        photons: the mean count in a bin with nothing before it.

    Raises:
        UnavailableError: ASTRA is not installed.
    """
    random = generator("ct-sample", "scan", name)
    counts = random.poisson(photons * np.exp(-_projected(body) * DENSEST))
    measured = -np.log(np.maximum(counts, LEAST) / photons) / DENSEST
    return reconstructor(ANGLES, BINS, len(body))(measured.astype(np.float32))


def _projected(body: Image) -> NDArray[np.float64]:
    """Integrals of a body along LoDoPaB's rays, (angles, bins)."""
    try:
        import astra
    except ImportError as error:
        raise UnavailableError(
            f"scanning phantoms needs astra ({error}); pip install 'equibench[ct]'"
        ) from error
    square = (-HALF_SIDE, HALF_SIDE)
    volume = astra.create_vol_geom(*body.shape, *square, *square)
    projector = astra.create_projector("linear", detector(ANGLES, BINS), volume)
    handle, rays = astra.create_sino(body, projector)
    astra.data2d.delete(handle)
    astra.projector.delete(projector)
    return np.asarray(rays, dtype=np.float64)


def _scan_bodies(folder: Path) -> None:
    """Write ``scans.npy`` (bodies, 3, H, H): each body and two scans of it."""
    arrays = packaged("ct.npz")
    own = (arrays["ground_truth_train"] * arrays["scale"]).astype(np.float32)
    size = own.shape[-1]
    scans = np.empty((BODIES, 3, size, size), np.float32)
    for at in tqdm(range(BODIES), "scanning phantoms", unit="body", disable=None):
        body = own[at] if at < len(own) else phantom(at, size).astype(np.float32)
        scans[at] = body, scan(body, f"{at}/a", FEWER), scan(body, f"{at}/b", FEWER)
    np.save(folder / "scans.npy", scans)
