"""Outputs of a staged network for shifts of an image, each inner value computed once."""

from collections import OrderedDict
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from equibench.evidence.reading.reuse.stages import Stage, Staged
from equibench.transforms.transform import Size

__all__ = ["StagedPasses"]

MEMORY = 2**28
"""Bytes that the values of a stage may take, unless those of one batch take more."""

Batch = dict[fx.Node, Tensor]


class StagedPasses:
    """What a network gives for one image after the other, each under many shifts.

    Every stage works on batches of the shape that the network was captured at, in an order that
    follows from the shifts alone, so that an output does not depend on what was asked for before.

    Args:
        draws: how many shifts of an image are asked for.
    """

    def __init__(self, network: Staged, draws: int) -> None:
        self.network, self.shape, self.draws = network, network.shape, draws
        self._of: Tensor | None = None
        self._image: Tensor
        self._known: list[OrderedDict[int, Batch]] = []

    def __call__(self, image: Tensor, shift: Sequence[int]) -> Tensor:
        """The output (C', *size) for an image (1, C, *size) that is shifted."""
        if self._of is not image:
            self._of, self._image = image, image[0].to(self.network.image.meta["val"].dtype)
            self._known = [OrderedDict() for _ in self.network.stages]
        last = len(self.network.stages) - 1
        with torch.no_grad():
            return self._value(last, self.network.output, shift)

    def _value(self, number: int, node: fx.Node, shift: Sequence[int]) -> Tensor:
        """An inner value for a shift: that of its class, moved."""
        stage = self.network.stages[number]
        pixels = [s - s % n for s, n in zip(shift, stage.lattice, strict=True)]
        batch, slot = divmod(_class(shift, stage.lattice), self.shape[0])
        return self.network.movable[node].moved(self._batch(number, batch)[node][slot], pixels)

    def _batch(self, number: int, batch: int) -> Batch:
        known = self._known[number]
        if batch in known:
            known.move_to_end(batch)
            return known[batch]
        stage = self.network.stages[number]
        values = self._computed(stage, _shifts(stage.lattice, batch, self.shape[0]))
        room = MEMORY // max(1, sum(v.numel() * v.element_size() for v in values.values()))
        while len(known) >= max(1, room):
            known.popitem(last=False)
        known[batch] = values
        return values

    def _computed(self, stage: Stage, shifts: Sequence[Sequence[int]]) -> Batch:
        values: dict[fx.Node, Any] = dict(self.network.constants)
        for node, origin in stage.given.items():
            values[node] = torch.stack([self._given(node, origin, shift) for shift in shifts])
        for node in stage.nodes:
            args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
            for read in stage.done_with.get(node, ()):
                del values[read]
        return {node: values[node] for node in stage.kept}

    def _given(self, node: fx.Node, origin: int, shift: Sequence[int]) -> Tensor:
        if node is not self.network.image:
            return self._value(origin, node, shift)
        return self.network.movable[node].moved(self._image, shift)


def _class(shift: Sequence[int], lattice: Size) -> int:
    """The number of a shift's class, in the order of a grid."""
    return int(np.ravel_multi_index(tuple(np.mod(shift, lattice)), lattice))


def _shifts(lattice: Size, batch: int, size: int) -> list[list[int]]:
    """The classes of a batch; the last one fills what is left of it."""
    numbers = np.minimum(np.arange(batch * size, (batch + 1) * size), prod(lattice) - 1)
    shifts: list[list[int]] = np.stack(np.unravel_index(numbers, lattice), axis=1).tolist()
    return shifts
