"""The embedded suite of labels: CT slices whose ground truth is a rule, applied to clean scans."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equibench.cases.suite import Case, Suite
from equibench.foundation.seeds import generator
from equibench.registry.registries import register_suite
from equibench.suites.reading.files import choose
from equibench.suites.samples.build import packaged
from equibench.suites.samples.chest_phantoms import hounsfield

__all__ = ["SegSample", "tissues"]

SIDE = 352
"""Of the central squares that are taken, in pixels; images have half of it."""
GAS, BONE = -400, 200
"""What is lighter than the one is gas, what is denser than the other bone, in Hounsfield units."""
DRAWN, STRIDE = 128, 16
"""The side of drawn parts, and what their corners are multiples of, in pixels."""
NOISIER = 3.0
"""The largest factor on a drawn slice's noise: the patients' differ by up to 2.5."""

_SCANS = {"train": "lung1", "test": "lung2"}


@register_suite(
    "seg-sample",
    summary="embedded: 12 low-dose thoracic CT slices with labels, 4 tissues found by thresholds",
    modules=("scipy",),
)
class SegSample(Suite):
    """Low-dose CT slices (1, 1, 176, 176) of one patient for each part, and their tissues.

    The inputs are those of ``ct-sample``, filtered back projections in the units of LoDoPaB-CT,
    averaged over 2×2 pixels. The ground truth (1, 1, 176, 176) has the classes 0 outside, 1 gas in
    the body (lungs, airways, bowel), 2 soft tissue, 3 bone and what else is as dense.

    No radiologist drew it: ``tissues`` finds it by thresholds on the scan of full dose. It is a
    definite ground truth, to see what shifts change, and says little of clinical segmentation.

    Args:
        part: ``train`` (16 slices) or ``test`` (12 slices of another patient).
    """

    name = "seg-sample"
    metrics = ("agreement", "iou", "dice")
    parts: Mapping[str, Mapping[str, str | bool]] = {
        "train": {"part": "train"},
        "validation": {"part": "test"},
    }

    def __init__(self, part: str = "test") -> None:
        self.part = choose(self.name, "part", part, list(_SCANS))

    @property
    def configuration(self) -> Mapping[str, str | int | float | bool]:
        return {"part": self.part}

    def cases(self) -> list[str]:
        """``lung2:006`` and so on: the scan, and the slice of it."""
        return [f"{_SCANS[self.part]}:{number:03d}" for number in _slices(self.part)[0]]

    def load(self, name: str) -> Case:
        """Load one slice."""
        at = self.cases().index(name)
        return self._case(name, at, _slices(self.part)[1][at])

    def draw(self, seed: int, number: int) -> Case:
        """A part (1, 1, 128, 128) of a slice with more noise, as a lower dose would leave.

        Parts begin at multiples of the variants' total stride: others would teach them shifts.
        """
        random = generator(self.name, "drawn", seed, number)
        _, low, full = _slices(self.part)
        at = int(random.integers(len(low)))
        noise = np.float32(random.uniform(1, NOISIER)) * (low[at] - full[at])
        case = self._case(f"drawn/{seed}/{number}", at, full[at] + noise)
        top, left = (int(corner) for corner in random.integers(4, size=2) * STRIDE)
        box = (..., slice(top, top + DRAWN), slice(left, left + DRAWN))
        assert case.target is not None
        return replace(case, input=case.input[box], target=case.target[box])

    def _case(self, name: str, at: int, image: NDArray[np.float32]) -> Case:
        import torch

        labels = tissues(hounsfield(_slices(self.part)[2][at]))
        return Case(
            name=name,
            input=torch.from_numpy(image.copy())[None, None],
            target=torch.from_numpy(labels)[None, None],
            cluster=_SCANS[self.part],
        )


def tissues(density: NDArray[Any]) -> NDArray[np.int64]:
    """The classes (H, W) of a thoracic slice (H, W) in Hounsfield units, its front to the right.

    After a median over 3×3 pixels, the largest connected part above ``GAS`` is the body. What is
    not of it and is connected to the right edge is outside (0); within, what is not above ``GAS``
    is gas (1), what is above ``BONE`` bone (3), and the rest soft tissue (2).
    """
    from scipy import ndimage

    smooth = ndimage.median_filter(density, 3, mode="nearest")
    dense = smooth > GAS
    parts, _ = ndimage.label(dense)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    around, _ = ndimage.label(parts != sizes.argmax())
    front = np.unique(around[:, -1])
    outside = np.isin(around, front[front > 0])
    return np.select([outside, ~dense, smooth > BONE], [0, 1, 3], default=2).astype(np.int64)


@cache
def _slices(part: str) -> tuple[list[int], NDArray[np.float32], NDArray[np.float32]]:
    """Numbers of slices, and their images (N, H, W) of low and of full dose; do not change them."""
    arrays = packaged("ct.npz")
    low, full = (_halved(arrays[f"{kind}_{part}"], arrays) for kind in ("fbp", "ground_truth"))
    return arrays[f"slices_{part}"].tolist(), low, full


def _halved(images: NDArray[Any], arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The central squares of stored images, averaged over 2×2 pixels: (N, 176, 176)."""
    corner = (images.shape[-1] - SIDE) // 2
    square = images[:, corner : corner + SIDE, corner : corner + SIDE] * float(arrays["scale"])
    pairs = square.reshape(len(images), SIDE // 2, 2, SIDE // 2, 2)
    return np.asarray(pairs.mean(axis=(2, 4)), dtype=np.float32)
