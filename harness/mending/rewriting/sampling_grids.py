"""On which samples of the image each map of one forward pass lives: the grids of APS.

A map at stride σ holds what stands at the positions a + σ·i of its image, for an offset a in
0 … σ − 1 along each axis. APS-D chooses a; every other map of that size in the pass shares it, and
APS-U puts samples back there. Source: Chaman and Dokmanić, Asilomar 2021, section 3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Grids", "Unpaired"]

Sizes = tuple[int, ...]


class Unpaired(Exception):
    """A change of resolution whose partner is not known; the message says why."""


class Grids:
    """The offsets (B, 2) of all sizes of maps that one forward pass has seen so far."""

    def __init__(self, image: Sizes, batch: int, device: torch.device) -> None:
        self.image, self.batch = image, batch
        self.offsets = {image: torch.zeros(batch, 2, dtype=torch.int64, device=device)}
        self.finer: dict[Sizes, set[Sizes]] = {image: set()}

    def sample(self, fine: Sizes, coarse: Sizes, chosen: Tensor) -> Tensor:
        """Which component (B, 2) of a map is kept: ``chosen``, unless its output's grid is known.

        Raises:
            Unpaired: nothing is known of the map.
        """
        if coarse not in self.offsets:
            if fine not in self.offsets:
                raise Unpaired(f"what made a map of {_shown(fine)} cannot be seen")
            between = [s for s in self.offsets if _divides(coarse, s) and _divides(s, fine)]
            if set(between) - {fine}:
                raise Unpaired(f"{_shown(between[-1])} is sampled already on another way")
            step = chosen * self._whole()
            self.offsets[coarse] = self.offsets[fine] + step // self._parts(fine)
            self.finer[coarse] = {fine, *self.finer[fine]}
            return chosen
        return self.within(coarse, fine)

    def within(self, coarse: Sizes, fine: Sizes) -> Tensor:
        """Where in each cell (B, 2) of a finer map the samples of a coarser one stand.

        Raises:
            Unpaired: nothing is known of the coarser map, or they come from different ways.
        """
        if coarse not in self.offsets:
            raise Unpaired(f"no downsampling that can be seen made a map of {_shown(coarse)}")
        if fine not in self.offsets:
            self._define(coarse, fine)
        elif fine not in self.finer[coarse]:
            raise Unpaired(f"{_shown(coarse)} was not sampled from maps of {_shown(fine)}")
        between = self.offsets[coarse] - self.offsets[fine]
        return between * self._parts(fine) // self._whole()

    def _define(self, coarse: Sizes, fine: Sizes) -> None:
        """A size that the way down left out: of its possible grids, the one that contains it."""
        image, offset = self._whole(), self.offsets[coarse]
        stride = (image // self._parts(fine)).clamp(min=1)
        if any(n % m and m % n for n, m in zip(self.image, fine, strict=True)):
            raise Unpaired(f"{_shown(fine)} does not divide the image's {_shown(self.image)}")
        self.offsets[fine] = offset % stride
        self.finer[fine] = {s for s in self.finer[coarse] if _divides(fine, s)}
        self.finer[coarse].add(fine)

    def _whole(self) -> Tensor:
        return torch.tensor(self.image, device=self.offsets[self.image].device)

    def _parts(self, sizes: Sizes) -> Tensor:
        return torch.tensor(sizes, device=self.offsets[self.image].device)


def _divides(coarse: Sequence[int], fine: Sequence[int]) -> bool:
    return all(f % c == 0 for c, f in zip(coarse, fine, strict=True))


def _shown(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))
