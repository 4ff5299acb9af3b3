"""What was proved, or what stands in the way: as text and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from equibench.transforms.transform import Size, as_shift

__all__ = ["TIES", "Obstacle", "Proof", "Step"]

TIES = "rounding does not decide between polyphase components"
"""The condition that counting near-ties can check."""


@dataclass(frozen=True)
class Obstacle:
    """The first operator that breaks equivariance along an axis.

    Args:
        operator: its name in ATen; empty where the network could not be captured.
        reason: what it does.
        module: the path of the module that was running, as in ``named_modules()``.
        file, line: the line that called PyTorch.
    """

    operator: str
    reason: str
    module: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else ""
        at = ", ".join(part for part in (self.module, where) if part)
        return f"{self.operator or 'the network'} {self.reason}" + (f" (at {at})" if at else "")


@dataclass(frozen=True)
class Step:
    """One operator of a certificate.

    Args:
        value: dimensions of what it gives, each with how it moves: ``y/2`` is one sample every
            two pixels of the input's rows.
        lattice: the stride along each axis that all operators so far need.
    """

    operator: str
    value: str
    lattice: Size
    module: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class Proof:
    """Which shifts commute with a network at one size, by its operators.

    The claim is about exact arithmetic: with floating point, both sides are the same sums in
    another order, equal up to rounding.

    Args:
        label: the network.
        size: (L,), (H, W) or (D, H, W) of the images, in pixels.
        batch, channels: of the images it was captured with; the claim includes that the images of
            a batch do not depend on each other.
        stride: along each axis, whose multiples commute; along an axis with an obstacle, its size.
        obstacles: by axis (``z``, ``y``, ``x``), the first operator that breaks it; none if proved.
        conditions: what must hold of an image besides, for the claim about ``stride``.
        any_shift: the stride where adaptive layers meet no tie, ``any_shift_conditions``; None
            where there are none, or it is no finer.
        steps: of the certificate, one for each operator that depends on the input.
        seconds: that capturing and reading took.
    """

    label: str
    size: Size
    batch: int
    channels: int
    stride: Size
    obstacles: Mapping[str, Obstacle]
    conditions: tuple[str, ...]
    any_shift: Size | None
    any_shift_conditions: tuple[str, ...]
    steps: tuple[Step, ...]
    seconds: float

    @property
    def proved(self) -> bool:
        """Whether no operator breaks equivariance along any axis."""
        return not self.obstacles

    def covers(self, classes: Size) -> bool:
        """Whether multiples of ``classes`` commute, near-ties of adaptive layers aside.

        Conditions of other operators cannot be checked by measuring: with them nothing is covered.
        """
        checked = set(self.conditions) <= {TIES}
        return (
            self.proved
            and checked
            and not any(c % s for c, s in zip(classes, self.stride, strict=True))
        )

    @property
    def summary(self) -> str:
        """A line: what is proved, or what stands in the way."""
        size = "×".join(map(str, self.size))
        if self.proved:
            return (
                f"{self.label}: proved at {size}: shifts by multiples of {as_shift(self.stride)} "
                "commute"
            )
        first = next(iter(self.obstacles.values()))
        return f"{self.label}: not proved at {size}: {first}"

    @property
    def described(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {"proved": self.proved, **asdict(self)}

    @property
    def brief(self) -> dict[str, Any]:
        """What manifests keep: the claim without its steps."""
        names = ("size", "stride", "conditions", "any_shift", "seconds")
        obstacles = {axis: str(obstacle) for axis, obstacle in self.obstacles.items()}
        kept = {name: getattr(self, name) for name in names}
        return {"proved": self.proved, **kept, "obstacles": obstacles}

    def __str__(self) -> str:
        lines = [self.summary]
        if not self.proved:
            for axis, obstacle in self.obstacles.items():
                if len(self.obstacles) > 1:
                    lines.append(f"  along {axis}: {obstacle}")
            if self.stride != self.size:
                lines.append(f"  proved all the same: multiples of {as_shift(self.stride)}")
        lines += [f"  provided that {condition}" for condition in self.conditions]
        if self.any_shift is not None:
            lines.append(
                f"  multiples of {as_shift(self.any_shift)} commute where "
                + " and ".join(self.any_shift_conditions)
            )
        return "\n".join(lines)

    def certificate(self) -> str:
        """The steps, one a line."""
        width = max((len(step.operator) for step in self.steps), default=0)
        shapes = max((len(step.value) for step in self.steps), default=0)
        lines = []
        for n, step in enumerate(self.steps, 1):
            where = f"{step.file}:{step.line}" if step.file else ""
            lines.append(
                f"{n:4} {step.operator:{width}}  {step.value:{shapes}}  "
                f"S={as_shift(step.lattice)}  {step.module} {where}".rstrip()
            )
        return "\n".join([str(self), *lines])
