"""How models are evaluated, resolved for this machine."""

from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

import torch

from equibench.errors import ModelError
from equibench.inference.precision import Precision, resolve_device
from equibench.measurement.run_config import Conditions
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import ShiftPlan, parse_shifts
from equibench.transforms.transform import Transform
from equibench.transforms.transform_specs import parse_transform, told_apart

__all__ = ["Frame", "Settings"]

Frame = Literal["canonical", "reference"]
"""Whether y is compared with T₋ₖ G(Tₖ x), or Tₖ y with G(Tₖ x)."""

AUTO_BATCH = {"cpu": 2, "cuda": 32}
"""Small batches stay in a CPU's cache; two is the least that shows the floor."""


@dataclass(frozen=True)
class Settings:
    """What all models and suites of a run share.

    Args:
        transforms: what images are put through, one after the other.
        batch: images per forward pass.
        elsewhere: a model that cannot run on the device may run on the CPU: nobody asked for it.
        exhaustive: evaluate every shift of a case whose residue classes are none.
        spots: other members of residue classes that every case is checked with.
        seed_forward: let the generators of random networks begin anew for every image.
        seed: of the shifts, and of networks that start untrained.
        keep_outputs: rows come with the outputs that they are made of.
        screen: the fast precision in which the worst circular shifts are found; None where all are
            measured in ``precision``.
    """

    transforms: tuple[Transform, ...]
    frame: Frame
    seed: int
    device: torch.device
    precision: Precision
    batch: int
    exhaustive: bool = False
    elsewhere: bool = False
    spots: int = 6
    seed_forward: bool = False
    keep_outputs: bool = False
    screen: Precision | None = None

    @classmethod
    def of(cls, config: Conditions, *, remote: bool = False) -> "Settings":
        """What a configuration comes to here, or on machines that are ``remote``.

        Raises:
            UsageError: shifts or transforms that cannot be read, or a device that is not here.
        """
        shifts = (
            [Circular(parse_shifts(config.shifts))]
            if config.shifts or not config.transforms
            else []
        )
        others = [parse_transform(text) for text in config.transforms]
        device = resolve_device(config.device, elsewhere=remote)
        return cls(
            transforms=told_apart([*shifts, *others]),
            frame=config.comparison_frame,
            seed=config.seed,
            device=device,
            precision=config.precision,
            batch=AUTO_BATCH[device.type] if config.batch == "auto" else config.batch,
            exhaustive=config.exhaustive,
            elsewhere=config.device == "auto",
            spots=config.spots,
            seed_forward=config.seed_forward,
            screen=config.screen,
        )

    @property
    def plan(self) -> ShiftPlan | None:
        """Which circular shifts are asked for; None where none are."""
        circular = (each.plan for each in self.transforms if isinstance(each, Circular))
        return next(circular, None)

    def on_grid(self, scale: float, label: str) -> "Settings":
        """The settings for a model whose output is larger than its input by a factor, or smaller.

        Raises:
            ModelError: it is smaller, and compared at other elements than those that it divides.
        """
        if scale >= 1:
            return self
        step = round(1 / scale)
        transforms = tuple(map(copy, self.transforms))
        for each in transforms:
            if not isinstance(each, Circular):
                raise ModelError(
                    f"{label}: an output of 1/{step} is compared under circular shifts alone, not "
                    f"{each.label}: give it out.resize=bilinear in the place of out.scale"
                )
            each.plan = each.plan.coarser(step)
        return replace(self, transforms=transforms)

    def under(self, transform: Transform) -> "Settings":
        """The settings for one transform alone."""
        frame = self.frame if transform.framed else "canonical"
        return replace(self, transforms=(transform,), frame=frame)

    @property
    def transform(self) -> Transform:
        """The only transform there is."""
        (transform,) = self.transforms
        return transform
