"""What one forward pass gave, and whose image lay in which slot of the batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from equibench.errors import ModelError, UsageError
from equibench.inference.model_outputs import shape
from equibench.inference.precision import onto
from equibench.measurement.batching import Item, OpenCase, moving
from equibench.metrics.labels import class_maps
from equibench.transforms.transform import Size, Transform

__all__ = ["BatchOutputs", "Slot", "chosen", "in_parts", "index_of", "truth_beside", "units_of"]

TOGETHER = {"cuda"}
"""Devices on which all images of a batch are compared at once."""


class Slot(NamedTuple):
    """A slot of a batch that holds an image of a case."""

    number: int
    item: Item
    case: OpenCase


@dataclass(frozen=True, eq=False)
class BatchOutputs:
    """What a forward pass gave.

    Args:
        raw: (B, C, *size), size times s.
        given: the size of the images, moved by ``elements`` (B, K) of a transform, which are on
            the CPU.
        ties: near-ties of each image, (B,).
        padded: whether the model padded them.
        resized: how the model brought them to the grid of the images; empty where it did not.
        labels: whether they are class maps.
        added: what is to be added to outputs before they are held against a ground truth, (B, C
            or 1, 1, …); None where nothing is.
    """

    raw: Tensor
    given: Size
    transform: Transform
    elements: Tensor
    ties: Tensor
    padded: bool
    resized: str
    labels: bool
    added: Tensor | None

    def of(self, slots: Sequence[Slot]) -> "BatchOutputs":
        """The outputs of some slots alone."""
        which = index_of([slot.number for slot in slots], self.raw.device)
        return replace(
            self,
            raw=chosen(self.raw, which),
            elements=self.elements[[slot.number for slot in slots]],
            ties=chosen(self.ties, which),
            added=None if self.added is None else chosen(self.added, which),
        )

    def aligned(self, size: Size) -> Tensor:
        """Outputs in the coordinates of their references, images of ``size``, in float64."""
        with moving(self.transform):
            outputs = self.transform.align(self.raw, self.elements, size)
        return outputs.to(torch.float64)

    def corners(self) -> Tensor:
        """Where the corners of moved outputs lie on their references, (B, axes)."""
        corners = self.transform.corners(self.elements, max(1, self.scale))
        corners = corners // max(1, self.given[-1] // self.raw.shape[-1])
        return onto(corners, self.raw.device)

    @property
    def scale(self) -> int:
        """What outputs are larger by than images; 0 where they are smaller."""
        return self.raw.shape[-1] // self.given[-1]


def index_of(numbers: Sequence[int], device: torch.device) -> slice | Tensor:
    """What takes the rows of some numbers: a slice where they follow each other.

    Else a tensor on the device: a list of Python would be copied while everything waits.
    """
    first = numbers[0]
    if list(numbers) == list(range(first, first + len(numbers))):
        return slice(first, first + len(numbers))
    return onto(torch.tensor(numbers), device)


def chosen(tensor: Tensor, which: slice | Tensor) -> Tensor:
    """Rows of a tensor; those of a slice are not copied."""
    return tensor[which] if isinstance(which, slice) else tensor.index_select(0, which)


def in_parts(
    batch: BatchOutputs, slots: Sequence[Slot]
) -> Iterator[tuple[Sequence[Slot], BatchOutputs]]:
    """Slots that are worked on at once: on a GPU all that are compared alike.

    On a CPU it is one image, which stays in its cache.
    """
    if batch.raw.device.type in TOGETHER:
        alike = groupby(slots, lambda slot: (slot.case.size, slot.item.region))
        parts = [list(group) for _, group in alike]
    else:
        parts = [[slot] for slot in slots]
    for part in parts:
        yield part, batch.of(part)


def units_of(slots: Sequence[Slot], device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale and offset (N,) that bring outputs into the units of the truth."""
    both = torch.stack(
        [
            torch.stack([slot.case.scale[slot.item.image] for slot in slots]),
            torch.stack([slot.case.offset[slot.item.image] for slot in slots]),
        ]
    )
    scale, offset = onto(both, device)
    return scale, offset


def truth_beside(target: Tensor, channels: int, labels: bool, place: str) -> Tensor:
    """A ground truth (N, C', *size) in the form of outputs (N, C, *size): an image, or class maps.

    Args:
        target: on the CPU, where looking at its values makes nobody wait.
        channels: C.
        labels: whether the outputs are class maps.
        place: what messages call the model and the case.

    Raises:
        ModelError: one is an image and the other is not, or there are more classes.
    """
    if not labels:
        if not target.is_floating_point():
            raise ModelError(
                f"{place}: the ground truth is classes, and the output is none: set "
                "out.labels=argmax, or of one channel out.labels=threshold:0.5"
            )
        return target
    classes = target.long()
    if target.shape[1] != 1 or not torch.equal(classes.to(target), target):
        raise ModelError(
            f"{place}: the output is labels, and the ground truth {shape(target)} no map of "
            "classes in whole numbers: leave out.labels out, or give it labels"
        )
    try:
        return class_maps(classes, channels)
    except UsageError as error:
        raise ModelError(
            f"{place}: the ground truth has {error}: give the network as many, or ignore it"
        ) from None
