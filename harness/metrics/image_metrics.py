"""Batched image metrics, in float64, on whatever device the images are.

A metric is additive: ``partials`` gives every image its sums, those of a volume's slices are
added, and ``value`` turns the totals into the metric. What belongs to the reference alone is
computed once by ``prepare`` and compared with as many predictions as one likes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil
from typing import TYPE_CHECKING, ClassVar

from equibench.errors import UsageError
from equibench.foundation.lazy_imports import Lazy
from equibench.registry.registries import register_metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:  # tables and lists ask what a metric is, and compute none
    torch = Lazy("torch")

__all__ = ["Metric", "nmse", "psnr", "ssim", "ssim_columns"]

Prepared = tuple["Tensor", ...]
"""What a metric keeps of its references; every tensor's first dimension is the image."""


_BAND = 2**16
"""Pixels that each core of a CPU works on at a time: they stay in its cache."""


class Metric(ABC):
    """A full-reference image metric and all that tables, plots and gates must know of it."""

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool]
    bounds: ClassVar[tuple[float, float]]
    version: ClassVar[int] = 1
    format: ClassVar[str]
    """Format specification of its values in tables."""
    delta_format: ClassVar[str | None] = None
    """Set where the change of the metric under a shift is reported (ΔPSNR): its format."""

    sums: ClassVar[str | None] = None
    """Metrics with the same word here add up the same, which is then done once."""

    single: ClassVar[bool] = False
    """Whether float32 is enough for the outputs of networks that work in it."""

    @property
    def column(self) -> str:
        """Its name as table columns carry it."""
        return self.name.replace("-", "_")

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        """Keep what comparisons need of references (B, C, H, W) with data ranges R (B,)."""
        return (reference.to(torch.float64),)

    @abstractmethod
    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        """Sums (B, K) in float64 for predictions (B, C, H, W).

        Args:
            prepared: for B references, or for one that all predictions share.
            prediction: in the references' coordinates.
            origin: (B, 2), where the corner of the frame of comparison lies on the circular
                images, in pixels; None where it is (0, 0) for all. Only metrics whose windows
                do not wrap around need it.
        """

    @abstractmethod
    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        """The metric (...) of totals (..., K) under data ranges R (...)."""

    def __call__(self, reference: Tensor, prediction: Tensor, data_range: Tensor | float) -> Tensor:
        """The metric (B,) of each pair of images (B, C, H, W), R explicit."""
        r = torch.as_tensor(data_range, dtype=torch.float64, device=reference.device)
        r = r.expand(len(reference))
        return self.value(self.partials(self.prepare(reference, r), prediction, None), r)


def _squares(image: Tensor, other: Tensor | None = None) -> Tensor:
    """The sum of squares of each image (B, C, H, W), or of its difference to another.

    Rows are added up first: their sums do not depend on the number of threads.
    """
    rows = []
    for band in _bands(image):
        part = image[..., band, :]
        part = part.clone() if other is None else part - other[..., band, :]
        rows.append(part.mul_(part).sum(dim=-1))
    return torch.cat(rows, dim=-1).sum(dim=(1, 2))


def _bands(image: Tensor) -> list[slice]:
    """Rows to work on at a time."""
    height, width = image.shape[-2:]
    at_once = _BAND * torch.get_num_threads() if image.device.type == "cpu" else height * width
    step = ceil(height / ceil(height * width / at_once))
    return [slice(top, top + step) for top in range(0, height, step)]


def _running_sums(x: Tensor, side: int, dim: int) -> Tensor:
    """Sums of ``side`` neighbours, from those of half as many: seven take four additions."""
    if side == 1:
        return x
    half = _running_sums(x, side // 2, dim)
    size = half.shape[dim] - side // 2
    sums = half.narrow(dim, 0, size) + half.narrow(dim, side // 2, size)
    return (
        sums if side % 2 == 0 else sums.narrow(dim, 0, size - 1) + x.narrow(dim, side - 1, size - 1)
    )


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
    """‖a − b‖² / ‖a‖², with no epsilon; 0 where both are zero, ``inf`` where only a is."""

    name = "nmse"
    title = "NMSE"
    higher_is_better = False
    bounds = (0.0, float("inf"))
    format = ".1e"

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        error, energy, _ = totals.unbind(-1)
        return torch.where(error == 0, error, error / energy)


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


class SSIM(Metric):
    """Wang 2004: uniform 7×7 window, sample covariance, mean over full windows and channels.

    The window moments are taken on the circular image, so one set serves every frame of
    comparison: a frame only decides which windows are full, and so which count. Similarities are
    computed in the dtype of the references.
    """

    name = "ssim"
    title = "SSIM"
    single = True
    higher_is_better = True
    bounds = (-1.0, 1.0)
    format = ".4f"
    window: ClassVar[tuple[int, int]] = (7, 7)

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        if any(size < side for size, side in zip(reference.shape[-2:], self.window, strict=True)):
            raise UsageError(
                f"{self.title} needs images of at least {self.window[0]}×{self.window[1]} pixels, "
                f"not {reference.shape[-2]}×{reference.shape[-1]}"
            )
        n = self.window[0] * self.window[1]
        # in units of R, so that no square is too small or too large for float32
        per_unit = torch.where(data_range == 0, 1, 1 / data_range.abs())[:, None, None, None]
        r2 = (data_range != 0)[:, None, None, None]
        per_unit = per_unit.to(reference)
        a = reference * per_unit
        wrapped = self._wrapped(a.to(torch.float64))
        total = self._sums(wrapped)
        variance = n * self._sums(wrapped * wrapped) - total * total
        # makes 1 of 0/0: two windows of zeros under R = 0 are the same window
        work = reference.dtype
        tiny = torch.finfo(work).tiny ** 0.5
        luminance = 2 * total * total + (0.01 * n) ** 2 * r2 + tiny
        contrast = 2 * variance + n * (n - 1) * 0.03**2 * r2 + tiny
        return per_unit, a, total.to(work), luminance.to(work), contrast.to(work)

    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        per_unit, a, *moments = prepared
        b = prediction
        if origin is None:
            moments = [self._inner(moment) for moment in moments]
        else:
            a, b = self._wrapped(a), self._wrapped(b)
        height, width = moments[0].shape[-2:]
        columns = None if origin is None else self._full(width, self.window[1], origin, 1)[:, None]
        rows = []
        for band in _bands(moments[0]):
            around = slice(band.start, band.stop + self.window[0] - 1)
            similarity = self._similarity(
                per_unit,
                a[..., around, :],
                b[..., around, :],
                *(moment[..., band, :] for moment in moments),
            ).mean(dim=1)
            similarity = similarity if columns is None else similarity * columns
            rows.append(similarity.sum(dim=-1, dtype=torch.float64))
        total = torch.cat(rows, dim=-1)
        if origin is None:
            mean = total.sum(dim=-1) / (height * width)
        else:
            mean = (total * self._full(height, self.window[0], origin, 0)).sum(dim=-1)
        return torch.stack((mean, torch.ones_like(mean)), dim=1)

    def _similarity(
        self,
        per_unit: Tensor,
        a: Tensor,
        b: Tensor,
        a_sum: Tensor,
        luminance: Tensor,
        contrast: Tensor,
    ) -> Tensor:
        """SSIM of every full window of (B, C, H, W), given the reference's moments there.

        Numerators and denominators differ by moments of the difference alone: equal windows have
        exactly 1, and a small difference keeps its digits.
        """
        n = self.window[0] * self.window[1]
        d = b.to(a.dtype).mul(per_unit).sub_(a)
        d_sum, ad_sum = self._sums(d), self._sums(a * d)
        d2_sum = self._sums(d.mul_(d))
        square, cross = d_sum * d_sum, d_sum.mul_(a_sum)
        above1 = torch.add(luminance, cross, alpha=2)
        above2 = torch.add(contrast, ad_sum, alpha=2 * n).sub_(cross, alpha=2)
        below2 = torch.add(above2, d2_sum, alpha=n).sub_(square)
        below1 = square.add_(above1)
        return above1.mul_(above2).div_(below1.mul_(below2))

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        return totals[..., 0] / totals[..., 1]

    def _sums(self, x: Tensor) -> Tensor:
        """Sums over all full windows."""
        return _running_sums(_running_sums(x, self.window[0], -2), self.window[1], -1)

    def _wrapped(self, x: Tensor) -> Tensor:
        """A circular image with a window around every pixel."""
        up, left = (side // 2 for side in self.window)
        return torch.nn.functional.pad(x, (left, left, up, up), mode="circular")

    def _inner(self, x: Tensor) -> Tensor:
        """What belongs to full windows, of something around every pixel."""
        for dim, side in zip((-2, -1), self.window, strict=True):
            x = x.narrow(dim, side // 2, x.shape[dim] - side + 1)
        return x

    @staticmethod
    def _full(size: int, side: int, origin: Tensor, axis: int) -> Tensor:
        """Weights (B, size) of the windows that do not cross the frame's border."""
        margin = (side - 1) // 2
        position = torch.arange(size, device=origin.device)[None]
        position = (position - origin[:, axis, None]) % size
        inside = (position >= margin) & (position < size - margin)
        return inside.double() / (size - 2 * margin)


class SSIMColumns(SSIM):
    """The mean over image columns of a 1-D SSIM along rows: window 7, columns as channels.

    This is what scikit-image computes with ``channel_axis=1`` for an (H, W) image, and what
    Table 4 of the paper reports.
    """

    name = "ssim-columns"
    title = "SSIM (columns)"
    window = (7, 1)


nmse = register_metric("nmse")(NMSE())
psnr = register_metric("psnr")(PSNR())
ssim = register_metric("ssim")(SSIM())
ssim_columns = register_metric("ssim-columns")(SSIMColumns())
