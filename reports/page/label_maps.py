"""Label maps as the page shows them, with the pixels marked whose class a shift changes."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from equibench.statistics.summary import columns

__all__ = ["label_facts", "label_views"]

_CHANGED = (214, 39, 40)
"""Red, which the colours of classes do not have."""
_BAND = 16
"""Height of the band that a signal's classes are, in pixels."""
_FADED = 0.7
"""How far unchanged pixels are moved towards white where changed ones are marked."""


def label_views(plain: Tensor, aligned: Tensor) -> dict[str, Any]:
    """Two class maps (K, H, W) in colours, and the first, faded, with changed pixels in red.

    Those (K, L) of signals are bands; where the second is NaN nothing is compared.
    """
    if plain.ndim == 2:
        plain, aligned = (maps[:, None].expand(-1, _BAND, -1) for maps in (plain, aligned))
    labels, moved = (maps.argmax(dim=0).numpy() for maps in (plain, aligned))
    unseen = aligned.isnan().any(dim=0).numpy()
    moved = np.where(unseen, labels, moved)
    changed = labels != moved
    colours = _colours(len(plain))
    marked = (255 * _FADED + (1 - _FADED) * colours[labels]).astype(np.uint8)
    marked[changed] = _CHANGED
    first = _encoded(colours[labels])
    return {
        "output": first,
        "shifted": _encoded(colours[moved]) if changed.any() else first,
        "difference": _encoded(marked) if changed.any() else "",
        "range": (),
        "largest": float(changed.mean()),
    }


def label_facts(names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """The columns of rows that metrics of labels have among some: key, title, format, unit."""
    found = []
    for column in (column for column in columns(names) if column.labels):
        key, title, shown = column.name, column.full_title, (column.format, column.unit)
        found.append((key, title, *shown))
        if not column.shifted:
            found.append((f"{key}_shifted", f"{title}, shifted", *shown))
    return found


def _colours(classes: int) -> NDArray[np.uint8]:
    """From dark to light, (K, 3)."""
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0, 1, max(2, classes)))[:, :3]
    return np.asarray((255 * shades).round(), dtype=np.uint8)


def _encoded(image: NDArray[np.uint8]) -> str:
    """An image (H, W, 3) as a WebP data URI, every pixel as it is."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "webp", lossless=True, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
