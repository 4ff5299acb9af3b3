"""Outputs of a network that are kept, so that other metrics can be computed without it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equibench.measurement.batch_outputs import BatchOutputs, Slot

__all__ = ["UNSHIFTED", "KeptOutput", "kept"]

UNSHIFTED = -1
"""The draw of an image that is a reference."""


@dataclass(frozen=True, eq=False)
class KeptOutput:
    """What a network gave for one image under one element of a transform.

    Args:
        transform: its label.
        image: number in its case.
        draw: as in rows, 0 for the floor; ``UNSHIFTED`` for the reference.
        element: of the transform, (K,).
        output: (C', *size), moved as the image was; float32.
        padded, resized, labels: as rows have it, and whether it is class maps.
        added: what an adapter adds before it is held against a ground truth, (C' or 1,).
    """

    transform: str
    case: str
    image: int
    draw: int
    element: NDArray[np.float64]
    output: NDArray[np.float32]
    padded: bool
    resized: str
    labels: bool
    added: NDArray[np.float64] | None


def kept(batch: BatchOutputs, slots: Sequence[Slot]) -> list[KeptOutput]:
    """What a forward pass gave for the images of its slots, on the CPU."""
    raw = batch.raw.detach().float().cpu().numpy()
    added = None if batch.added is None else batch.added.cpu().numpy()
    return [
        KeptOutput(
            batch.transform.label,
            case.name,
            item.image,
            UNSHIFTED if item.draw is None else item.draw,
            np.asarray(item.element, np.float64),
            raw[number],
            batch.padded,
            batch.resized,
            batch.labels,
            None if added is None else added[number].ravel(),
        )
        for number, item, case in slots
    ]
