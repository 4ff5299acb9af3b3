"""What is carried out otherwise in a network, and what a pass through it noted of that."""

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Change", "Notes", "Plan"]


@dataclass(frozen=True)
class Plan:
    """What is carried out otherwise.

    Args:
        circular: padding wraps around.
        blur: taps of the binomial filter before subsampling; 0 for none.
        adaptive: subsampling keeps a polyphase component, upsampling puts it back (APS).
    """

    circular: bool = False
    blur: int = 0
    adaptive: bool = False


@dataclass(frozen=True)
class Change:
    """A call that is carried out otherwise, or that was meant to be and is not.

    Args:
        layer: the module's path.
        what: the function, and what became of it or why nothing did.
        done: whether it is carried out otherwise.
    """

    layer: str
    what: str
    done: bool

    def __str__(self) -> str:
        return f"{self.layer or 'the network itself'} ({self.what})"


@dataclass
class Notes:
    """Changes, with the module that was running; without ``place`` nothing is noted."""

    place: Callable[[], str] | None = None
    changes: list[Change] = field(default_factory=list)

    def add(self, what: str, done: bool = True) -> None:
        if self.place is not None:
            self.changes.append(Change(self.place(), what, done))
