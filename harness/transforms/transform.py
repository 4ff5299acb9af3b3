"""What a transform is: how it moves an image, how it is undone on an output, where both compare.

A transform is a set of elements: shifts, rotations, windows. An element is a row of numbers whose
meaning is the transform's own affair. The model passes over the image under the *identity* (the
reference) and under each element; the output under an element is undone, which brings it into the
coordinates of the reference, and is compared with it where both are defined.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from equibench.foundation.lazy_imports import Lazy

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor
else:  # lists ask what a transform is, and move nothing
    torch = Lazy("torch")

__all__ = [
    "AXES",
    "CIRCULAR",
    "Elements",
    "Region",
    "Size",
    "Transform",
    "as_shift",
    "element_name",
    "inside",
    "shift_of",
]

Elements = NDArray[Any]
"""(n, K): n elements of a transform, K numbers each."""

Size = tuple[int, ...]
"""Of an image in pixels: (L,), (H, W) or (D, H, W)."""

Region = tuple[slice, ...]
"""A box of an image in pixels, a slice for each spatial axis."""

AXES = ("dz", "dy", "dx")
"""The columns of rows that hold a shift, of up to three spatial axes."""

CIRCULAR = "circular"
"""What rows of circular shifts are called."""


class Transform(ABC):
    """A motion of images whose equivariance is measured: T in G(T x) = T' G(x).

    ``elements``, ``move`` and ``undo`` make a transform; the rest has defaults that fit one that
    keeps the size of images and can be compared everywhere.
    """

    name: str = ""
    """What it is registered under."""
    label: str = ""
    """What rows and tables call it: the name, unless the user chose another."""
    lossless: ClassVar[bool] = False
    """Whether it moves pixels and changes none: T⁻¹T x is x to the last bit."""
    group: ClassVar[bool] = False
    """Whether one element after another is an element: ``compose`` then says which."""
    columns: tuple[str, ...] = ()
    """Further columns of rows, made of the sums that ``observe`` gives, or by ``settle``."""
    accuracy: ClassVar[float] = 1e-9
    """The NMSE that T⁻¹T may make of a smooth image, where it is not lossless."""
    framed: ClassVar[bool] = False
    """Whether outputs can also be compared where the motion left them: ``corners`` says where."""

    @property
    def seeded(self) -> bool:
        """Whether another seed draws other elements."""
        return False

    @abstractmethod
    def elements(self, seed: int, suite: str, case: str, size: Size) -> Elements:
        """The elements (n, K) of one case with images of ``size``, the identity left out.

        Draws are seeded by names (``equibench.foundation.seeds``), never by order.

        Raises:
            UsageError: there are none at this size.
        """

    @abstractmethod
    def move(self, image: Tensor, element: Sequence[float]) -> Tensor:
        """T: an image (C, *size) under an element."""

    @abstractmethod
    def undo(self, output: Tensor, element: Sequence[float], size: Size) -> Tensor:
        """T'⁻¹: an output (C', *size) in the coordinates of the reference.

        Args:
            output: of a moved image; s times its size where the model enlarges.
            size: of the image before it was moved, in pixels.
        """

    def __repr__(self) -> str:
        """All that it depends on, the same in every process."""
        said = {k: v for k, v in sorted(vars(self).items()) if k not in ("name", "label")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in said.items())})"

    def identity(self, size: Size) -> Sequence[float]:
        """The element under which the reference passes: it leaves an image as it is."""
        return (0,) * self.numbers(size)

    def numbers(self, size: Size) -> int:
        """K: how many numbers an element has; one for each axis."""
        return len(size)

    def count(self, axes: int = 2) -> int | None:
        """How many elements a case with images of so many axes has; None where its size decides."""
        return None

    def moved_size(self, element: Sequence[float], size: Size) -> Size:
        """The size of images of ``size`` under an element."""
        return size

    def region(self, element: Sequence[float], size: Size) -> Region | None:
        """Where the undone output and the reference are compared; None for everywhere.

        Raises:
            UsageError: nowhere.
        """
        return None

    def compose(self, last: Sequence[float], first: Sequence[float], size: Size) -> Sequence[float]:
        """The element that does ``first`` and then ``last``, of a group."""
        raise NotImplementedError

    def shifts(self, elements: Elements) -> Elements | None:
        """By how many pixels elements shift each axis, (n, axes); None where they do not."""
        return elements

    def element(self, element: Sequence[float]) -> str:
        """What tables call an element; empty where its shift says it all."""
        return ""

    def covers(self, size: Size) -> int:
        """How many elements of an image of ``size`` each of these stands for."""
        return 1

    @property
    def evidence(self) -> str:
        """How these elements tell the worst of all; empty where they do not."""
        return ""

    def apply(self, images: Sequence[Tensor], elements: Tensor) -> Tensor:
        """T for several images (C, *size), each under its own of elements (B, K), on the CPU."""
        pairs = zip(images, elements.tolist(), strict=True)
        return torch.stack([self.move(image, element) for image, element in pairs])  # noqa: PD013

    def align(self, outputs: Tensor, elements: Tensor, size: Size) -> Tensor:
        """T'⁻¹ for outputs (B, C', *size) of images of one size; elements are on the CPU."""
        pairs = zip(outputs, elements.tolist(), strict=True)
        return torch.stack([self.undo(output, element, size) for output, element in pairs])  # noqa: PD013

    def corners(self, elements: Tensor, scale: int) -> Tensor:
        """Where the corners of moved outputs lie on the reference, (B, axes); if ``framed``."""
        raise NotImplementedError

    def observe(
        self, image: Tensor, reference: Tensor, output: Tensor, element: Sequence[float]
    ) -> Mapping[str, Tensor]:
        """Sums (K,) for those of ``columns`` that outputs are looked at for.

        Those of a volume's slices are added.

        Args:
            image: (C, *size), before it is moved.
            reference, output: (C', *size), the output undone.
        """
        return {}

    def observed(self, column: str, totals: Tensor) -> Sequence[Any]:
        """What the totals (n, K) of n elements come to in one of ``columns``."""
        raise NotImplementedError

    def settle(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of a unit, once all elements are measured."""
        return rows


def inside(image: Tensor, region: Region) -> Tensor:
    """What lies in a region of an image (…, *size)."""
    for axis, each in zip(range(-len(region), 0), region, strict=True):
        image = image.narrow(axis, each.start, each.stop - each.start)
    return image


def element_name(row: Mapping[Any, Any] | pd.Series[Any], prefix: str = "") -> str:
    """What a row's element is called: its name, or its shift as (dy, dx).

    Args:
        prefix: of the columns, in summaries.
    """
    named = row.get(f"{prefix}element")
    if isinstance(named, str) and named:
        return named
    values = [float(row[f"{prefix}{axis}"]) for axis in AXES if f"{prefix}{axis}" in row]
    return as_shift([value for value in values if not np.isnan(value)])


def shift_of(row: Mapping[Any, Any] | pd.Series[Any]) -> tuple[int, ...]:
    """A row's circular shift in pixels, along the axes that its images have."""
    found = (row[axis] for axis in AXES if axis in row)
    return tuple(int(value) for value in found if not np.isnan(value))


def as_shift(values: Sequence[float]) -> str:
    """``(2, -1)`` for pixels along each axis."""
    return f"({', '.join(map(_pixels, values))})"


def _pixels(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"
