"""Images as the page shows them: slices of volumes, the lines of signals, encoded."""

import base64
import io
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from equibench.reports.paper.figure4_scene import grey

__all__ = ["encoded", "image_views", "seen"]

_QUALITY = 78
_LINE = (96, 256)
"""Height and width of a signal's picture, in pixels."""


def seen(image: Tensor, at: int) -> Tensor:
    """An image (C, H, W) as it is, of a volume (C, D, H, W) the slice ``at``, a signal (C, L)."""
    return image[:, at] if image.ndim == 4 else image


def image_views(plain: Tensor, aligned: Tensor) -> dict[str, Any]:
    """Two outputs (C, H, W) or (C, L) in one range of grey, and their difference.

    Where the second is NaN nothing is compared.
    """
    output, shifted = grey(plain), grey(aligned)
    difference = np.nan_to_num(np.abs(output - shifted))
    visible, top = bool(difference.any()), float(np.quantile(difference, 0.999))
    top = top or float(difference.max())
    low, high = float(output.min()), float(output.max())
    first = encoded(output, low, high)
    return {
        "output": first,
        "shifted": encoded(shifted, low, high) if visible or np.isnan(shifted).any() else first,
        "difference": encoded(difference, 0.0, top) if visible else "",
        "range": (low, high),
        "largest": top,
    }


def encoded(image: NDArray[np.float64], low: float, high: float) -> str:
    """An image (H, W), or a signal (L,) as a line, as a WebP data URI from ``low`` to ``high``."""
    from PIL import Image

    scaled = np.nan_to_num((image - low) / ((high - low) or 1.0)).clip(0, 1)
    if scaled.ndim == 1:
        scaled = _line(scaled)
    stream = io.BytesIO()
    Image.fromarray((255 * scaled).round().astype(np.uint8)).save(
        stream, "webp", quality=_QUALITY, method=6
    )
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _line(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (L,) from 0 to 1 as a black line on white; of many, the range in each column."""
    height, width = _LINE
    columns = np.array_split(np.repeat(values, ceil(width / len(values))), width)
    # a column reaches to where the next one begins
    ends = zip(columns, [*(column[0] for column in columns[1:]), columns[-1][-1]], strict=True)
    spans = np.array([(max(*column, end), min(*column, end)) for column, end in ends])
    top, bottom = ((1 - spans.T) * (height - 1)).round()
    rows = np.arange(height)[:, None]
    drawn: NDArray[np.float64] = 1.0 - ((rows >= top) & (rows <= bottom))
    return drawn
