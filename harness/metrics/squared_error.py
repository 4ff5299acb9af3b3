"""NMSE and PSNR: what is made of the squared error and the reference's energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from equibench.foundation.lazy_imports import Lazy
from equibench.metrics.metric import Metric, Prepared, row_bands, row_sums, with_rows
from equibench.registry.registries import register_metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:  # tables and lists ask what a metric is, and compute none
    torch = Lazy("torch")

__all__ = ["nmse", "psnr"]


def _squares(image: Tensor, other: Tensor | None = None) -> Tensor:
    """The sum of squares of each image (B, C, *size), or of its difference to another.

    Rows are added up first: their sums do not depend on the number of threads.
    """
    image, other = with_rows(image), None if other is None else with_rows(other)
    rows = []
    for band in row_bands(image):
        part = image[:, :, band]
        part = part.clone() if other is None else part - other[:, :, band]
        sums = row_sums(part.mul_(part))
        rows.append(sums if sums.ndim == 3 else row_sums(sums))
    return torch.cat(rows, dim=2).sum(dim=(1, 2))


class _SquaredError(Metric):
    """What is made of ‖a − b‖², ‖a‖² and the number of pixels."""

    sums = "squared error"

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        reference = reference.to(torch.float64)
        return reference, _squares(reference)

    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        reference, energy = prepared
        error = _squares(reference, prediction)
        pixels = torch.full_like(error, prediction[0].numel())
        return torch.stack((error, energy.expand_as(error), pixels), dim=1)


class NMSE(_SquaredError):
    """‖a − b‖² / ‖a‖², with no epsilon; 0 where both are zero, ``inf`` where only a is.

    NaN where a value of a or b is no number or infinite, so that ``inf`` has one meaning.
    """

    name = "nmse"
    title = "NMSE"
    higher_is_better = False
    bounds = (0.0, float("inf"))
    format = ".1e"

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        error, energy, _ = totals.unbind(-1)
        ratio = torch.where(error == 0, error, error / energy)
        return ratio.where(error.isfinite(), torch.nan)

    def distance(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """‖a − b‖ / ‖a‖, a length."""
        root: NDArray[np.float64] = np.sqrt(values)
        return root


class PSNR(_SquaredError):
    """10·log10(R² / mean((a − b)²)); ``inf`` where a = b."""

    name = "psnr"
    title = "PSNR"
    unit = "dB"
    higher_is_better = True
    bounds = (float("-inf"), float("inf"))
    format = ".2f"
    delta_format = ".3g"

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        error, _, pixels = totals.unbind(-1)
        decibel = 10 * (2 * data_range.abs().log10() - (error / pixels).log10())
        return torch.where(error == 0, torch.inf, decibel)

    def distance(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The root of the mean squared error over R, a length."""
        root: NDArray[np.float64] = 10 ** (-values / 20)
        return root


nmse = register_metric("nmse")(NMSE())
psnr = register_metric("psnr")(PSNR())
