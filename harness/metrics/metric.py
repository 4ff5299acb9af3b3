"""What a metric is: batched, in float64, on whatever device the images are.

A metric is additive: ``partials`` gives every image its sums, those of a volume's slices are
added, and ``value`` turns the totals into the metric. What belongs to the reference alone is
computed once by ``prepare`` and compared with as many predictions as one likes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil, prod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from equibench.foundation.lazy_imports import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:  # tables and lists ask what a metric is, and compute none
    torch = Lazy("torch")

__all__ = ["Metric", "Prepared", "row_bands", "row_sums", "with_rows"]

Prepared = tuple["Tensor", ...]
"""What a metric keeps of its references; every tensor's first dimension is the image."""

_BAND = 2**16
"""Pixels that each core of a CPU works on at a time: they stay in its cache."""


_PIECE = 2**14
"""PyTorch may add up longer rows by several threads."""


class Metric(ABC):
    """A full-reference image metric and all that tables, plots and gates must know of it."""

    name: str
    title: str
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool]
    bounds: ClassVar[tuple[float, float]]
    version: ClassVar[int] = 1
    format: ClassVar[str]
    """Format specification of its values in tables."""
    delta_format: ClassVar[str | None] = None
    """Set where the change of the metric under a shift is reported (ΔPSNR): its format."""

    sums: str | None = None
    """Metrics with the same word here add up the same, which is then done once."""

    single: ClassVar[bool] = False
    """Whether float32 is enough for the outputs of networks that work in it."""

    labels: ClassVar[bool] = False
    """Whether it compares class maps (B, K, *size), and not images."""

    @property
    def column(self) -> str:
        """Its name as table columns carry it."""
        return self.name.replace("-", "_")

    def variant(self, name: str) -> Metric | None:
        """The metric of another name that is this one of a class, or within other bounds."""
        return None

    def unfit(self, outputs: Tensor, labels: bool) -> str | None:
        """Why it cannot compare outputs (B, C, *size), with what mends it; None where it can.

        Args:
            labels: whether they are class maps.
        """
        if labels:
            return (
                f"{self.name} compares images, and these are labels: choose others, --metrics "
                "agreement,iou,dice"
            )
        return None

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        """Keep what comparisons need of references (B, C, *size) with data ranges R (B,)."""
        return (reference.to(torch.float64),)

    @abstractmethod
    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        """Sums (B, K) in float64 for predictions (B, C, *size).

        Args:
            prepared: for B references, or for one that all predictions share.
            prediction: in the references' coordinates.
            origin: (B, axes), where the corner of the frame of comparison lies on the circular
                images, in pixels; None where it is zero for all. Only metrics whose windows
                do not wrap around need it.
        """

    @abstractmethod
    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        """The metric (...) of totals (..., K) under data ranges R (...)."""

    def distance(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values so that more is worse, on a scale on which small changes of outputs stay small."""
        return -values if self.higher_is_better else values

    def __call__(self, reference: Tensor, prediction: Tensor, data_range: Tensor | float) -> Tensor:
        """The metric (B,) of each pair of images (B, C, *size), R explicit."""
        r = torch.as_tensor(data_range, dtype=torch.float64, device=reference.device)
        r = r.expand(len(reference))
        return self.value(self.partials(self.prepare(reference, r), prediction, None), r)


def with_rows(image: Tensor) -> Tensor:
    """An image (…, H, W) or volume as it is, and a signal (B, C, L) as an image of one row."""
    return image[:, :, None] if image.ndim == 3 else image


def row_bands(image: Tensor) -> list[slice]:
    """Rows of images (B, C, H, W), or slices of volumes (B, C, D, H, W), to work on at a time."""
    rows, each = image.shape[2], prod(image.shape[3:])
    at_once = _BAND * torch.get_num_threads() if image.device.type == "cpu" else rows * each
    step = ceil(rows / ceil(rows * each / at_once))
    return [slice(top, top + step) for top in range(0, rows, step)]


def row_sums(image: Tensor) -> Tensor:
    """Sums along the last axis in float64; no number of threads changes their order."""
    if image.shape[-1] <= _PIECE:
        return image.sum(dim=-1, dtype=torch.float64)
    cut = torch.split(image, _PIECE, dim=-1)
    pieces = [piece.sum(dim=-1, dtype=torch.float64) for piece in cut]
    return torch.stack(pieces, dim=-1).sum(dim=-1)
