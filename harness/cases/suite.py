"""What a suite is: named cases, how each is loaded, and how its numbers are defined."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from equibench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Case",
    "DataRange",
    "ImageCases",
    "Suite",
    "data_range",
    "images_in_units",
    "in_units",
    "per_image",
    "suite_conditions",
]

DataRange = Literal["max", "range"]
"""How R of PSNR and SSIM follows from the reference: its maximum, or maximum − minimum."""


@dataclass(frozen=True, eq=False)
class Case:
    """One thing that a mean is taken over: an image, or a volume of slices.

    Args:
        name: unique in its suite.
        group: what tables keep apart (PD and PDFS, say).
        cluster: what cases share that are not independent (a patient, a volume); the case's own
            name where it is empty.
        input: (N, C, *size), size being (L,) of signals, (H, W) of images and (D, H, W) of
            volumes that a model takes as a whole. N = 1, or the number of slices of a volume
            whose slices pass through the model one by one.
        target: the ground truth (N, C', *size) in its own units, or None.
        scale, offset: (N,) each; a model's output times ``scale`` plus ``offset`` is in the
            target's units.
    """

    name: str
    input: Tensor
    target: Tensor | None = None
    group: str = "all"
    cluster: str = ""
    scale: Tensor | None = None
    offset: Tensor | None = None

    def units(self) -> tuple[Tensor, Tensor]:
        """Scale and offset (N,) in float64: 1 and 0 where the case has none."""
        one = self.input.new_ones(len(self.input)).double()
        scale = one if self.scale is None else self.scale.to(one)
        return scale, 0 * one if self.offset is None else self.offset.to(one)


class Suite(ABC):
    """Named cases and the definitions that belong to them.

    Listing the cases is cheap; loading one may read files. ``version`` rises whenever the
    same case would give other numbers.
    """

    name: str
    """Of the data: shifts are drawn by it."""
    label: str = ""
    """What rows and tables call it; the name, unless the user chose another."""
    version: int = 1
    metrics: tuple[str, ...] = ("nmse", "psnr", "ssim")
    data_range: Mapping[str, DataRange] = {}
    """R by metric; a metric that is not named takes the maximum."""
    clamp: float | None = None
    """Outputs are clamped to ±clamp before scale and offset."""
    axes: int = 2
    """Of its images in space: 1 of signals, 2 of images, 3 of volumes."""
    images_per_case: int = 1
    """About how many; a unit of work holds fewer cases where they are large."""
    parts: Mapping[str, Mapping[str, str | bool]] = {}
    """The arguments that choose what networks are trained on (``train``) and validated on
    (``validation``), where the suite has both."""

    @abstractmethod
    def cases(self) -> Sequence[str]:
        """The names of all cases, in a fixed order.

        Raises:
            UsageError: the data root is missing; the message names the remedy.
        """

    @abstractmethod
    def load(self, name: str) -> Case:
        """Load one case.

        Raises:
            DataError: a file is missing, truncated or no image; the message names it.
        """

    def draw(self, seed: int, number: int) -> Case:
        """Make a training image that no other number has, where a suite can.

        Raises:
            UsageError: it cannot.
            DataError: it cannot make this one.
        """
        raise UsageError(f"suite {self.name!r} has no images to draw: take --drawn 0")

    @property
    def configuration(self) -> Mapping[str, str | int | float | bool]:
        """The arguments that change numbers, for the manifest."""
        return {}


@dataclass
class ImageCases(Suite):
    """A suite over images that are in memory: (B, C, *size), and targets where there are any."""

    images: Tensor
    targets: Tensor | None = None
    name: str = "images"
    metrics: tuple[str, ...] = ("nmse", "psnr", "ssim")
    data_range: Mapping[str, DataRange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.axes = self.images.ndim - 2

    def cases(self) -> list[str]:
        return [f"{i:05d}" for i in range(len(self.images))]

    def load(self, name: str) -> Case:
        i = int(name)
        target = None if self.targets is None else self.targets[i : i + 1]
        return Case(name=name, input=self.images[i : i + 1], target=target)


def in_units(
    outputs: Tensor,
    clamp: float | None,
    scale: Tensor,
    offset: Tensor,
    added: Tensor | float = 0.0,
) -> Tensor:
    """Clamp a model's outputs (N, C, *size) and bring them into the units of the ground truth.

    Args:
        scale, offset: (N,) each.
        added: what will be added to the outputs afterwards, (N, C or 1, 1, …): they are clamped as
            if it had been already.
    """
    if clamp is not None:
        # nothing is added, but to what is infinite: that becomes NaN
        moved = outputs.new_zeros(()) + added
        outputs = outputs.clamp(-clamp - moved, clamp - moved).add(outputs, alpha=0)
    return per_image(offset, outputs).addcmul(outputs, per_image(scale, outputs))


def images_in_units(case: Case, images: Tensor, clamp: float | None) -> Tensor:
    """Images (N, C, H, W) of a case in the units of its ground truth."""
    scale, offset = (each.to(images) for each in case.units())
    return in_units(images, clamp, scale, offset)


def per_image(values: Tensor, images: Tensor) -> Tensor:
    """One value (N,) for each of images (N, C, *size), in a shape (N, 1, 1, …) beside them."""
    return values.reshape(-1, *[1] * (images.ndim - 1))


def data_range(rule: DataRange, reference: Tensor) -> Tensor:
    """R of a reference of any shape, as a scalar tensor in float64."""
    reference = reference.double()
    return reference.amax() - reference.amin() if rule == "range" else reference.amax()


def suite_conditions(suite: Suite, cases: Sequence[str]) -> dict[str, Any]:
    """What must be equal for two suites to be the same."""
    digest = hashlib.sha256("\n".join(cases).encode()).hexdigest()[:12]
    return {
        "name": suite.name,
        "version": suite.version,
        "arguments": dict(suite.configuration),
        "cases": f"{len(cases)} ({digest})",
    }
