"""SSIM of 7×7 windows, and of windows along image columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from equibench.errors import UsageError
from equibench.foundation.lazy_imports import Lazy
from equibench.metrics.metric import Metric, Prepared, row_bands
from equibench.registry.registries import register_metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:  # tables and lists ask what a metric is, and compute none
    torch = Lazy("torch")

__all__ = ["ssim", "ssim_columns"]


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


class SSIM(Metric):
    """Wang 2004: uniform 7×7 window, sample covariance, mean over full windows and channels.

    The window moments are taken on the circular image, so one set serves every frame of
    comparison: a frame only decides which windows are full, and so which count. Similarities are
    computed in the dtype of the references, in float32 at least.
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
        reference = reference.to(torch.promote_types(reference.dtype, torch.float32))
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
        for band in row_bands(moments[0]):
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


ssim = register_metric("ssim")(SSIM())
ssim_columns = register_metric("ssim-columns")(SSIMColumns())
