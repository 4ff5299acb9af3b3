"""SSIM of windows of seven pixels along every axis, and of windows along image columns."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from equibench.errors import UsageError
from equibench.foundation.lazy_imports import Lazy
from equibench.metrics.metric import Metric, Prepared, row_bands, row_sums, with_rows
from equibench.registry.registries import register_metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:  # tables and lists ask what a metric is, and compute none
    torch = Lazy("torch")

__all__ = ["ssim", "ssim_columns"]


_SIDE = 7
"""Of windows, in pixels."""


class SSIM(Metric):
    """Wang 2004: uniform 7×7 window, sample covariance, mean over full windows and channels.

    Windows of signals are 7 samples, those of volumes 7×7×7.

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

    def window(self, axes: int) -> tuple[int, ...]:
        """Of images with so many axes in pixels; a signal is an image of one row."""
        return (1, _SIDE) if axes == 1 else (_SIDE,) * axes

    def prepare(self, reference: Tensor, data_range: Tensor) -> Prepared:
        window = self.window(reference.ndim - 2)
        reference = with_rows(reference)
        if any(n < side for n, side in zip(reference.shape[2:], window, strict=True)):
            raise UsageError(
                f"{self.title} needs images of at least {_by(window)} pixels, not "
                f"{_by(reference.shape[2:])}: give it larger ones, or --metrics nmse,psnr"
            )
        reference = reference.to(torch.promote_types(reference.dtype, torch.float32))
        n = prod(window)
        each = [-1] + [1] * (reference.ndim - 1)
        # in units of R, so that no square is too small or too large for float32
        per_unit = torch.where(data_range == 0, 1, 1 / data_range.abs()).reshape(each)
        r2 = (data_range != 0).reshape(each)
        per_unit = per_unit.to(reference)
        a = reference * per_unit
        wrapped = _wrapped(a.to(torch.float64), window)
        total = _window_sums(wrapped, window)
        variance = n * _window_sums(wrapped * wrapped, window) - total * total
        # makes 1 of 0/0: two windows of zeros under R = 0 are the same window
        work = reference.dtype
        tiny = torch.finfo(work).tiny ** 0.5
        luminance = 2 * total * total + (0.01 * n) ** 2 * r2 + tiny
        contrast = 2 * variance + n * (n - 1) * 0.03**2 * r2 + tiny
        return per_unit, a, total.to(work), luminance.to(work), contrast.to(work)

    def partials(self, prepared: Prepared, prediction: Tensor, origin: Tensor | None) -> Tensor:
        per_unit, a, *moments = prepared
        window, b = self.window(prediction.ndim - 2), with_rows(prediction)
        if origin is None:
            moments = [_inner(moment, window) for moment in moments]
        else:
            a, b = _wrapped(a, window), _wrapped(b, window)
        size = moments[0].shape[2:]
        full = None if origin is None else _full(size, window, origin)
        rows = []
        for band in row_bands(moments[0]):
            around = slice(band.start, band.stop + window[0] - 1)
            similarity = _similarity(
                window,
                per_unit,
                a[:, :, around],
                b[:, :, around],
                *(moment[:, :, band] for moment in moments),
            ).mean(dim=1)
            rows.append(_summed(similarity, full))
        total = torch.cat(rows, dim=1)
        mean = total.sum(dim=-1) / prod(size) if full is None else (total * full[0]).sum(dim=-1)
        return torch.stack((mean, torch.ones_like(mean)), dim=1)

    def value(self, totals: Tensor, data_range: Tensor) -> Tensor:
        return totals[..., 0] / totals[..., 1]


class SSIMColumns(SSIM):
    """The mean over image columns of a 1-D SSIM along rows: window 7, columns as channels.

    This is what scikit-image computes with ``channel_axis=1`` for an (H, W) image, and what
    Table 4 of the paper reports.
    """

    name = "ssim-columns"
    title = "SSIM (columns)"

    def window(self, axes: int) -> tuple[int, ...]:
        return (_SIDE, 1)

    def unfit(self, outputs: Tensor, labels: bool) -> str | None:
        if outputs.ndim != 4:
            return "ssim-columns is of images (B, C, H, W): take ssim, --metrics nmse,psnr,ssim"
        return super().unfit(outputs, labels)


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


def _pooled_sums(x: Tensor, side: int, dim: int) -> Tensor:
    """Sums of ``side`` neighbours in one kernel, as a GPU likes it."""
    if side == 1:
        return x
    pool = torch.nn.functional.avg_pool2d if x.ndim == 4 else torch.nn.functional.avg_pool3d
    along = tuple(side if axis == dim else 1 for axis in range(2, x.ndim))
    return pool(x, along, stride=1, divisor_override=1)


def _window_sums(x: Tensor, window: tuple[int, ...]) -> Tensor:
    """Sums over all full windows of (B, C, *size)."""
    along_axis = _running_sums if x.device.type == "cpu" else _pooled_sums
    for dim, side in enumerate(window, start=2):
        x = along_axis(x, side, dim)
    return x


def _similarity(
    window: tuple[int, ...],
    per_unit: Tensor,
    a: Tensor,
    b: Tensor,
    a_sum: Tensor,
    luminance: Tensor,
    contrast: Tensor,
) -> Tensor:
    """SSIM of every full window of (B, C, *size), given the reference's moments there.

    Numerators and denominators differ by moments of the difference alone: equal windows have
    exactly 1, and a small difference keeps its digits.
    """
    n = prod(window)
    d = b.to(a.dtype).mul(per_unit).sub_(a)
    d_sum, ad_sum = _window_sums(d, window), _window_sums(a * d, window)
    d2_sum = _window_sums(d.mul_(d), window)
    square, cross = d_sum * d_sum, d_sum.mul_(a_sum)
    above1 = torch.add(luminance, cross, alpha=2)
    above2 = torch.add(contrast, ad_sum, alpha=2 * n).sub_(cross, alpha=2)
    below2 = torch.add(above2, d2_sum, alpha=n).sub_(square)
    below1 = square.add_(above1)
    return above1.mul_(above2).div_(below1.mul_(below2))


def _summed(similarity: Tensor, full: list[Tensor] | None) -> Tensor:
    """Sums (B, rows) of (B, rows, …), of full windows where weights of each axis are given."""
    while similarity.ndim > 2:
        if full is not None:
            weights = full[similarity.ndim - 2]
            each = [1] * (similarity.ndim - 2)
            similarity = similarity * weights.reshape(len(weights), *each, -1)
        similarity = row_sums(similarity)
    return similarity


def _wrapped(x: Tensor, window: tuple[int, ...]) -> Tensor:
    """A circular image with a window around every pixel."""
    sides = [half for side in reversed(window) for half in [side // 2] * 2]
    return torch.nn.functional.pad(x, sides, mode="circular")


def _inner(x: Tensor, window: tuple[int, ...]) -> Tensor:
    """What belongs to full windows, of something around every pixel."""
    for dim, side in enumerate(window, start=2):
        x = x.narrow(dim, side // 2, x.shape[dim] - side + 1)
    return x


def _full(size: torch.Size, window: tuple[int, ...], origin: Tensor) -> list[Tensor]:
    """Weights (B, n) along each axis of the windows that do not cross the frame's border."""
    weights = []
    corners = [torch.zeros_like(origin[:, 0])] * (len(size) - origin.shape[1]) + [*origin.T]
    for n, side, corner in zip(size, window, corners, strict=True):
        margin = (side - 1) // 2
        position = torch.arange(n, device=origin.device)[None]
        position = (position - corner[:, None]) % n
        inside = (position >= margin) & (position < n - margin)
        weights.append(inside.double() / (n - 2 * margin))
    return weights


def _by(size: Sequence[int]) -> str:
    return "×".join(map(str, size))


ssim = register_metric("ssim")(SSIM())
ssim_columns = register_metric("ssim-columns")(SSIMColumns())
