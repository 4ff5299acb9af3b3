"""Sliding windows and changes of resolution in one forward pass under a plan."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from equibench.errors import ModelError
from equibench.mending.positions import moved
from equibench.mending.rewriting.plans import Notes, Plan
from equibench.mending.rewriting.sampling_grids import Grids, Unpaired
from equibench.mending.rewriting.wrapping import Sizes, Window
from equibench.models.blur import Blur
from equibench.models.polyphase import polyphase_component, polyphase_index

__all__ = ["Resampling"]


class Resampling:
    """What one forward pass under a plan does in the place of what was written.

    Args:
        image: the network's input, whose grid all others are part of.
    """

    def __init__(self, plan: Plan, image: Tensor | None, notes: Notes) -> None:
        self.plan, self.notes = plan, notes
        self.grids: Grids | None = None
        if plan.adaptive and image is not None and image.ndim == 4:
            height, width = image.shape[-2:]
            self.grids = Grids((height, width), image.shape[0], image.device)

    def window(self, name: str, x: Tensor, window: Window, plain: Callable[[], Any]) -> Any:
        """A window slides over a map."""
        strided = max(window.stride) > 1
        if strided and x.ndim == 4 and (self.plan.adaptive or self.plan.blur):
            period = window.period(x)
            if period is not None:
                return self._sampled(name, x, window, period, plain)
            self._indivisible(name, x, window.stride)
            self.notes.add(f"{name} whose output is no whole part of its input", done=False)
        if self.plan.circular and (window.padded or window.ceil):
            out = window.circular(x)
            if out is not None:
                self.notes.add(f"{name}: circular padding")
                return out
            self.notes.add(f"{name} whose padding changes the size of the map", done=False)
        return plain()

    def _sampled(
        self, name: str, x: Tensor, window: Window, period: Sizes, plain: Callable[[], Any]
    ) -> Any:
        """Dense, then blurred, then subsampled: adaptively or not."""
        grids, stride = self.grids, window.stride
        if grids and period not in grids.offsets and tuple(x.shape[2:]) in grids.offsets:
            self._indivisible(name, x, stride)
        if grids and x.shape[0] != grids.batch:
            self.notes.add(f"{name} of a batch of another size", done=False)
            return plain()
        dense = window.dense(x, period)
        if self.plan.blur:
            dense = Blur(self.plan.blur).to(dense)(dense)
        if grids is None:
            self.notes.add(f"{name}: dense, blur {self.plan.blur}, subsampling")
            return dense[..., :: stride[0], :: stride[1]].contiguous()
        index, _ = polyphase_index(dense, stride)
        chosen = torch.stack((index // stride[1], index % stride[1]), dim=1)
        coarse = tuple(n // s for n, s in zip(period, stride, strict=True))
        try:
            kept = grids.sample(period, coarse, chosen)
        except Unpaired as unpaired:
            self.notes.add(f"{name}: {unpaired}", done=False)
            return plain()
        self.notes.add(f"{name}: dense, APS-D")
        return polyphase_component(dense, stride, kept[:, 0] * stride[1] + kept[:, 1])

    def _indivisible(self, name: str, x: Tensor, stride: Sizes) -> None:
        sizes = x.shape[2:]
        if self.grids and any(n % s for n, s in zip(sizes, stride, strict=True)):
            shown = "×".join(map(str, sizes))
            raise ModelError(
                f"mend=aps: {name} of stride {max(stride)} does not divide a map of {shown}: crop "
                "the image to a multiple of the total stride"
            )

    def picked(self, name: str, x: Tensor, coarse: Sizes, run: Callable[[Tensor], Tensor]) -> Any:
        """A downsampling that never looks beyond its cell of the map: the map is moved under it."""
        grids, fine = self.grids, tuple(x.shape[2:])
        if grids is None or x.ndim != 4 or x.shape[0] != grids.batch:
            return run(x)
        stride = tuple(n // m for n, m in zip(fine, coarse, strict=True))
        index, _ = polyphase_index(x, stride)
        chosen = torch.stack((index // stride[1], index % stride[1]), dim=1)
        try:
            kept = grids.sample(fine, coarse, chosen)
        except Unpaired as unpaired:
            self.notes.add(f"{name}: {unpaired}", done=False)
            return run(x)
        self.notes.add(f"{name}: APS-D")
        return run(moved(x, -kept))

    def placed(self, name: str, x: Tensor, out: Tensor) -> Tensor:
        """An upsampled map, put where the samples of its input stand."""
        grids, coarse, fine = self.grids, tuple(x.shape[2:]), tuple(out.shape[2:])
        if grids is None or x.ndim != 4 or x.shape[0] != grids.batch:
            return out
        try:
            place = grids.within(coarse, fine)
        except Unpaired as unpaired:
            self.notes.add(f"{name}: {unpaired}", done=False)
            return out
        self.notes.add(f"{name}: APS-U")
        return moved(out, place)

    @property
    def wraps(self) -> bool:
        return self.plan.circular or self.plan.adaptive
