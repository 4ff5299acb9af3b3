"""Batched image metrics, in float64, on whatever device the images are.

A metric is additive: ``partials`` gives every image its sums, those of a volume's slices are
added, and ``value`` turns the totals into the metric. What belongs to the reference alone is
computed once by ``prepare`` and compared with as many predictions as one likes.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from equibench.errors import UsageError
from equibench.registry import register_metric

__all__ = ["Metric", "nmse", "psnr", "ssim", "ssim_columns"]

Prepared = tuple[Tensor, ...]
"""What a metric keeps of its references; every tensor's first dimension is the image."""


_NEXT_TO_NOTHING = 1e-154
"""Its square is still a number, and added to any image's moments it changes nothing."""


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


def _total(images: Tensor) -> Tensor:
    """The sum of each image, (B,): rows first, or its last bits would depend on the threads."""
    return images.sum(dim=-1).sum(dim=(1, 2))


def _squares(images: Tensor) -> Tensor:
    return _total(images.square())


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


class NMSE(Metric):
    """‖a − b‖² / ‖a‖², with no epsilon; 0 where both are zero, ``inf`` where only a is."""

    name = "nmse"
    title = "NMSE"
    higher_is_better = False
    bounds = (0.0, float("inf"))
    format = ".1e"

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        reference = reference.to(torch.float64)
        return reference, _squares(reference)

    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        reference, energy = prepared
        error = _squares(reference - prediction)
        return torch.stack((error, energy.expand_as(error)), dim=1)

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        error, energy = totals.unbind(-1)
        return torch.where(error == 0, error, error / energy)


class PSNR(Metric):
    """10·log10(R² / mean((a − b)²)); ``inf`` where a = b."""

    name = "psnr"
    title = "PSNR"
    unit = "dB"
    higher_is_better = True
    bounds = (float("-inf"), float("inf"))
    format = ".2f"
    delta_format = ".3g"

    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        error = _squares(prepared[0] - prediction)
        return torch.stack((error, torch.full_like(error, prediction[0].numel())), dim=1)

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        error, count = totals.unbind(-1)
        decibel = 10 * (2 * data_range.abs().log10() - (error / count).log10())
        return torch.where(error == 0, torch.inf, decibel)


class SSIM(Metric):
    """Wang 2004: uniform 7×7 window, sample covariance, mean over full windows and channels.

    The window moments are taken on the circular image, so one set serves every frame of
    comparison: a frame only decides which windows are full, and so which count.
    """

    name = "ssim"
    title = "SSIM"
    higher_is_better = True
    bounds = (-1.0, 1.0)
    format = ".4f"
    window: ClassVar[tuple[int, int]] = (7, 7)

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        a = reference.to(torch.float64)
        if any(size < side for size, side in zip(a.shape[-2:], self.window, strict=True)):
            raise UsageError(
                f"{self.title} needs images of at least {self.window[0]}×{self.window[1]} pixels, "
                f"not {a.shape[-2]}×{a.shape[-1]}"
            )
        n = self.window[0] * self.window[1]
        r2 = data_range.square()[:, None, None, None]
        total = self._sums(a, wrap=True)
        variance = n * self._sums(a * a, wrap=True) - total * total
        # the last term makes 1 of 0/0: two windows of zeros under R = 0 are the same window
        luminance = 2 * total * total + (0.01 * n) ** 2 * r2 + _NEXT_TO_NOTHING
        contrast = 2 * variance + n * (n - 1) * 0.03**2 * r2 + _NEXT_TO_NOTHING
        return a, total, luminance, contrast

    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        n = self.window[0] * self.window[1]
        a, *moments = prepared
        a_sum, luminance, contrast = (m if origin is not None else self._inner(m) for m in moments)
        d = prediction - a
        wrap = origin is not None
        d_sum, ad_sum = self._sums(d, wrap), self._sums(a * d, wrap)
        d2_sum = self._sums(d.mul_(d), wrap)
        # numerators and denominators differ by the moments of d alone: what is small stays exact
        square, cross = d_sum * d_sum, d_sum.mul_(a_sum)
        above1 = torch.add(luminance, cross, alpha=2)
        above2 = torch.add(contrast, ad_sum, alpha=2 * n).sub_(cross, alpha=2)
        below2 = torch.add(above2, d2_sum, alpha=n).sub_(square)
        below1 = square.add_(above1)
        similarity = above1.mul_(above2).div_(below1.mul_(below2))
        if origin is None:
            mean = _total(similarity) / similarity[0].numel()
        else:
            similarity = similarity.mean(dim=1)
            rows = self._full(similarity.shape[-2], self.window[0], origin, 0, similarity)
            columns = self._full(similarity.shape[-1], self.window[1], origin, 1, similarity)
            mean = (rows[:, None, :] @ similarity @ columns[:, :, None]).flatten()
        return torch.stack((mean, torch.ones_like(mean)), dim=1)

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        return totals[..., 0] / totals[..., 1]

    def _sums(self, x: Tensor, wrap: bool) -> Tensor:
        """Sums over windows: around every pixel of the circular image, or the full ones alone."""
        if wrap:
            up, left = (side // 2 for side in self.window)
            x = pad(x, (left, left, up, up), mode="circular")
        return _running_sums(_running_sums(x, self.window[0], -2), self.window[1], -1)

    def _inner(self, x: Tensor) -> Tensor:
        """What belongs to full windows, of something around every pixel."""
        for dim, side in zip((-2, -1), self.window, strict=True):
            x = x.narrow(dim, side // 2, x.shape[dim] - side + 1)
        return x

    @staticmethod
    def _full(size: int, side: int, origin: Tensor, axis: int, like: Tensor) -> Tensor:
        """Weights (B, size) of the windows that do not cross the frame's border."""
        margin = (side - 1) // 2
        position = torch.arange(size, device=like.device)[None]
        position = (position - origin[:, axis, None]) % size
        inside = (position >= margin) & (position < size - margin)
        return inside.to(like.dtype) / (size - 2 * margin)


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
