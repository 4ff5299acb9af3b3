"""Whether a model is a function of its image at all: found before anything is measured.

A few images pass through it twice, beside other images in other slots of a batch, and once more
after those. What differs by more than rounding is random, keeps state, or depends on the batch or
on the slot; then no shift stands for another, and nothing can be said of all shifts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, get_args

import torch
from torch import Tensor

from equibench.cases.suite import Suite, per_image
from equibench.errors import DataError
from equibench.foundation.rounding import default_limit, epsilon
from equibench.foundation.seeds import generator
from equibench.inference.forward_pass import out_of_memory
from equibench.inference.model_outputs import frame_of, mismatch
from equibench.inference.random_generators import generators
from equibench.measurement.batching import load_case
from equibench.measurement.measurement import Measured
from equibench.measurement.settings import Settings

__all__ = ["KINDS", "Kind", "Repeatability", "repeatability"]

Kind = Literal["random", "keeps state", "depends on the batch", "depends on the slot"]

KINDS: tuple[Kind, ...] = get_args(Kind)

_AMPLIFIED = 10.0
"""Slots may differ by so many times what one rounding of the input makes of the output."""

_LOUDER = 3.0
"""Deviation of the images that stand beside the first, in its own; a maximum must show as well."""


@dataclass(frozen=True)
class Repeatability:
    """What a model does with the same images once more.

    Args:
        kind: why it gives something else; empty where it does not, up to rounding.
        nmse: between the two outputs, the largest of all images; of what is repeatable, rounding.
        seeded: it is random, and repeatable because its generators begin anew for every image.
    """

    kind: Kind | Literal[""]
    nmse: float
    seeded: bool = False

    @property
    def word(self) -> str:
        """As rows have it: the kind, ``seeded``, or nothing."""
        return self.kind or ("seeded" if self.seeded else "")

    @property
    def described(self) -> dict[str, object]:
        """What manifests keep."""
        return {"kind": self.kind, "nmse": self.nmse, "seeded": self.seeded}

    def told(self, measured: Measured) -> Measured:
        """Rows that say how the model repeats itself."""
        rows = measured.rows.assign(repeatability=self.word, repeat_nmse=self.nmse)
        return replace(measured, rows=rows)

    def sentence(self, label: str, suite: str) -> str:
        """What users are told before such a model is measured; empty where it is repeatable."""
        if self.seeded and not self.kind:
            return f"{label} on {suite} is random: its generators are seeded anew for every image"
        if not self.kind:
            return ""
        is_or = "is random" if self.kind == "random" else self.kind
        remedy = "; --seed-forward may make it repeatable" if self.kind == "random" else ""
        return (
            f"{label} on {suite} {is_or}: the same image, unshifted, gives outputs that differ by "
            f"an NMSE of {self.nmse:.2g}{remedy}"
        )


def repeatability(
    forward: Callable[[Tensor], Tensor],
    suite: Suite,
    cases: Sequence[str],
    settings: Settings,
) -> Repeatability | None:
    """Pass an image through a model again and again: four passes of a batch, or up to eight.

    Random generators are left as they were.

    Args:
        forward: (B, C, H, W) to (B, C', H, W), on its device and in its precision.
        cases: of which the first that can be loaded is taken.

    Returns:
        None where nothing can be measured, which measuring will say.
    """
    loaded = (load_case(suite, name) for name in cases)
    case = next((each for each in loaded if not isinstance(each, DataError)), None)
    if case is None:
        return None
    try:
        return _Trial(forward, case.input.to(settings.device), settings).verdict()
    except _Unmeasured:
        return None


class _Unmeasured(Exception):
    """The model raises, or returns no images."""


class _Trial:
    def __init__(
        self, forward: Callable[[Tensor], Tensor], images: Tensor, settings: Settings
    ) -> None:
        self.forward, self.settings = forward, settings
        self.limit = default_limit(settings.precision)
        first = images[:1].to(torch.float64 if settings.precision == "fp64" else images.dtype)
        random = generator("repeated", settings.seed)
        draw = torch.from_numpy(random.standard_normal(first.shape)).to(first)
        noise = draw * first.std(correction=0)
        others = settings.batch - 1
        beside = [*images[1 : settings.batch, None], first.mean() + noise]
        self.images = torch.cat([first, *(beside * others)[:others]]).to(first.dtype)
        self.loud = first.mean() + _LOUDER * noise.flip(-1)

    def verdict(self) -> Repeatability:
        with generators(self.settings.device):
            once = self._pass(self.images)
            again = self._pass(self.images, other=True)
            moved = self._moved(once)
            later = self._pass(self.images)  # after other images
            kind: Kind | Literal[""] = ""
            differs, drifts = _largest(once, again), _largest(once, later)
            # what no seed repeats has a state, be it that of a generator of its own
            if drifts > self.limit:
                kind = "keeps state"
            elif differs > self.limit:
                kind = "random"
            elif self._beyond(once, moved, first=True):
                among = {first: self._among(once, first) for first in (True, False)}
                beyond = any(self._beyond(once, error, first) for first, error in among.items())
                kind = "depends on the batch" if beyond else "depends on the slot"
                moved = max(moved, *among.values())
        if kind in ("keeps state", "random"):
            return Repeatability(kind, max(differs, drifts))
        return Repeatability(kind, max(differs, drifts, moved))

    def _moved(self, once: Tensor) -> float:
        """What becomes of the first image in all other slots, with another image in its own."""
        others = len(self.images) - 1
        if not others:
            return 0.0
        same = self.images[:1].expand(others, *self.images.shape[1:])
        try:
            outputs = self._pass(torch.cat([self.loud, same]))
        except _Unmeasured:  # it takes no such image: a milder one will do
            self.loud = self.images[:1].flip(-1) / 2
            outputs = self._pass(torch.cat([self.loud, same]))
        return _largest(once[:1].expand_as(outputs[1:]), outputs[1:])

    def _among(self, once: Tensor, first: bool) -> float:
        """What becomes of images that stay in their slots: the first one, or all but that."""
        stay = self._slots(first)
        images = torch.where(per_image(stay, self.images), self.images, self.loud)
        return _largest(once[stay], self._pass(images)[stay])

    def _beyond(self, once: Tensor, error: float, first: bool) -> bool:
        """Whether it is more than rounding makes, of a model that amplifies it: near-ties, say."""
        if error <= self.limit:
            return False
        random = generator("rounding", self.settings.seed)
        sign = torch.from_numpy(random.choice([-1.0, 1.0], self.images.shape)).to(self.images)
        nearly = self._pass(self.images * (1 + sign * epsilon(self.settings.precision)))
        stay = self._slots(first)
        response = _nmse(*(outputs[stay].flatten()[None] for outputs in (once, nearly)))
        return error > _AMPLIFIED * float(response)

    def _slots(self, first: bool) -> Tensor:
        """Which slots (B,) are meant: the first, or all others."""
        return (torch.arange(len(self.images), device=self.images.device) == 0) == first

    def _pass(self, images: Tensor, other: bool = False) -> Tensor:
        """Outputs in float64, with generators that begin with the run's seed, or with another."""
        try:
            with generators(self.settings.device, self.settings.seed + other):
                output = self.forward(images)
            frame = frame_of(self.forward)
            wrong = mismatch(output, images, frame.output_scale)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # whatever a network raises
            if out_of_memory(error):
                raise
            raise _Unmeasured from error
        if wrong is not None:
            raise _Unmeasured
        return (output if frame.unmoved is None else frame.unmoved).to(torch.float64)


def _nmse(one: Tensor, other: Tensor) -> Tensor:
    """Of outputs (B, …), (B,); where both are NaN they are the same."""
    one, other = one.flatten(1), other.flatten(1)
    same = (one.isnan() & other.isnan()) | (one == other)
    error = torch.where(same, 0.0, one - other).square().sum(dim=1)
    energy = one.nan_to_num(0.0, 0.0, 0.0).square().sum(dim=1)
    return torch.where(error == 0, 0.0, error / energy).nan_to_num(inf, inf)


def _largest(one: Tensor, other: Tensor) -> float:
    """The largest NMSE of outputs (B, C, *size)."""
    return float(_nmse(one, other).max()) if len(one) else 0.0
