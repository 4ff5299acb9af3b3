"""What one forward pass gave, and whose image lay in which slot of the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from equibench.errors import ModelError, UsageError
from equibench.inference.model_outputs import shape
from equibench.measurement.batching import Item, OpenCase, moving
from equibench.metrics.labels import class_maps
from equibench.metrics.metric import Prepared
from equibench.transforms.transform import Transform

__all__ = ["BatchOutputs", "Slot", "gather", "truth_beside", "units_of", "worked_on_at_once"]


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
        images: (B, C, *size), moved by ``elements`` (B, K) of a transform.
        ties: near-ties of each image, (B,).
        padded: whether the model padded them.
        resized: how the model brought them to the grid of the images; empty where it did not.
        labels: whether they are class maps.
        added: what is to be added to outputs before they are held against a ground truth, (B, C
            or 1, 1, …); None where nothing is.
    """

    raw: Tensor
    images: Tensor
    transform: Transform
    elements: Tensor
    ties: Tensor
    padded: bool
    resized: str
    labels: bool
    added: Tensor | None

    def aligned(self, slots: Sequence[Slot]) -> Tensor:
        """Some outputs in the coordinates of the references, in float64."""
        which, size = _numbers(slots), slots[0].case.size
        with moving(self.transform):
            outputs = self.transform.align(self.raw[which], self.elements[which], size)
        return outputs.to(torch.float64)

    def corners(self, slots: Sequence[Slot]) -> Tensor:
        """Where the corners of some moved outputs lie on the references, (N, axes)."""
        corners = self.transform.corners(self.elements[_numbers(slots)], max(1, self.scale))
        return corners // max(1, self.images.shape[-1] // self.raw.shape[-1])

    @property
    def scale(self) -> int:
        """What outputs are larger by than images; 0 where they are smaller."""
        return self.raw.shape[-1] // self.images.shape[-1]

    def near_ties(self, slots: Sequence[Slot]) -> Tensor:
        """Near-ties of some images, (N,)."""
        return self.ties[_numbers(slots)]

    def added_to(self, slots: Sequence[Slot]) -> Tensor | float:
        """What is added to some outputs, (N, C or 1, 1, …)."""
        return 0.0 if self.added is None else self.added[_numbers(slots)]


def worked_on_at_once(slots: Sequence[Slot], batch: BatchOutputs) -> list[Sequence[Slot]]:
    """Groups of slots: on a GPU all that are compared alike, one image in a CPU's cache."""
    if not batch.raw.is_cuda:
        return [[slot] for slot in slots]
    return [list(group) for _, group in groupby(slots, lambda s: (s.case.size, s.item.region))]


def units_of(slots: Sequence[Slot]) -> tuple[Tensor, Tensor]:
    """Scale and offset (N,) that bring outputs into the units of the truth."""
    return (
        torch.stack([slot.case.scale[slot.item.image] for slot in slots]),
        torch.stack([slot.case.offset[slot.item.image] for slot in slots]),
    )


def gather(wanted: Sequence[tuple[Prepared, int]]) -> Prepared:
    """The prepared references of some images; one that all share is not copied."""
    first, image = wanted[0]
    if all(prepared is first and i == image for prepared, i in wanted):
        return tuple(tensor[image : image + 1] for tensor in first)
    return tuple(torch.stack([prepared[k][i] for prepared, i in wanted]) for k in range(len(first)))


def truth_beside(target: Tensor, outputs: Tensor, labels: bool, place: str) -> Tensor:
    """A ground truth (N, C', *size) in the form of outputs (N, C, *size): an image, or class maps.

    Args:
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
        return class_maps(classes, outputs.shape[1])
    except UsageError as error:
        raise ModelError(
            f"{place}: the ground truth has {error}: give the network as many, or ignore it"
        ) from None


def _numbers(slots: Sequence[Slot]) -> slice | list[int]:
    first = slots[0].number
    return slice(first, first + 1) if len(slots) == 1 else [slot.number for slot in slots]
