"""What a board asks of every network: suites, motions, seed, and the networks that it names."""

import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from equibench.errors import UsageError
from equibench.foundation.validation import checked
from equibench.measurement.run_config import Block, Conditions, RunConfig, read_config, validated
from equibench.registry.specs import Spec
from equibench.transforms.transform import CIRCULAR
from equibench.transforms.transform_specs import parse_transform

__all__ = ["BOARD", "Board", "Group", "Planned", "Question", "read_board"]

BOARD = "board/board.toml"
"""The board that comes with equibench, within ``equibench.results``."""

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Labels = Annotated[
    tuple[Annotated[str, AfterValidator(lambda text: Spec.parse(text).label)], ...],
    Field(min_length=1),
]
"""Of networks, however their specs are spelled."""
Column = Literal["error", "parameters", "time", "quality"]


class Group(Block):
    """Networks of one kind, each measured on all suites of the group.

    Args:
        trained: on what, in words; empty for networks that start from a fixed seed. The two are
            never ranked together.
        source, licence: of the weights, where they are somebody's.
        reference: whose forward pass is the unit of time, where images are other than the board's.
    """

    title: str
    suites: tuple[str, ...] = ()
    trained: str = ""
    source: str = ""
    licence: str = ""
    reference: str = ""


class Question(BaseModel):
    """What is asked of the numbers, before there are any. One of four kinds:

    ``swap``: networks whose specs differ by one text for another, pair by pair.
    ``motions``: the same networks under one motion and under another.
    ``entries``: some networks against others, image by image.
    ``trend``: whether two columns rise and fall together over networks.

    Args:
        names: what both sides are called in a sentence.
        among: of which division the networks are.
        suite: by default the board's first.
        motion: whose error is compared.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    swap: tuple[str, str] | None = None
    motions: tuple[str, str] | None = None
    entries: tuple[Labels, Labels] | None = None
    trend: tuple[Column, Column] | None = None
    names: tuple[str, str]
    among: Literal["untrained", "trained"] = "untrained"
    suite: str = ""
    motion: str = CIRCULAR

    @model_validator(mode="after")
    def _of_one_kind(self) -> "Question":
        kinds = [self.swap, self.motions, self.entries, self.trend]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("a question is a swap, motions, entries or a trend")
        return self


class Planned(BaseModel):
    """A network that a board names.

    Args:
        model: as ``equibench run -m`` takes it.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    suites: tuple[str, ...]
    group: Group

    @property
    def label(self) -> str:
        """What rows and tables call it."""
        return Spec.parse(self.model).label


class Board(BaseModel):
    """All that entries must have in common.

    Args:
        suites: that networks are ranked on, unless their group has others.
        reference: the network whose forward pass is the unit of time.
        settings: under which every network is measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    suites: Names
    reference: str
    settings: Conditions
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    questions: tuple[Question, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _suites_of_groups(cls, fields: Any) -> Any:
        """A group without suites has the board's."""
        if isinstance(fields, dict) and isinstance(fields.get("groups"), list):
            default = {"suites": fields.get("suites", ())}
            groups = [default | g if isinstance(g, dict) else g for g in fields["groups"]]
            return {**fields, "groups": groups}
        return fields

    @model_validator(mode="after")
    def _told_apart(self) -> "Board":
        twice = [label for label, n in Counter(p.label for p in self.planned).items() if n > 1]
        if twice:
            raise ValueError(f"two networks are called {twice[0]!r}: give one a label=…")
        return self

    @model_validator(mode="after")
    def _asks_of_its_own(self) -> "Board":
        """A question of what nobody measures would wait for its answer for ever."""
        known = {planned.label for planned in self.planned}
        for question in self.questions:
            for label in chain(*(question.entries or ())):
                if label not in known:
                    raise ValueError(f"a question names {label!r}, which is in no group")
            if question.suite and question.suite not in self._suite_labels:
                raise ValueError(f"a question is of {question.suite!r}, which is no suite of it")
            for motion in question.motions or (question.motion,):
                if motion not in self._motions:
                    raise ValueError(f"a question is of {motion!r}, which is no motion of it")
        return self

    @property
    def planned(self) -> list[Planned]:
        """All networks that it names."""
        return [
            Planned(model=model, suites=group.suites, group=group)
            for group in self.groups
            for model in group.models
        ]

    @property
    def _motions(self) -> list[str]:
        others = [parse_transform(text).label for text in self.settings.transforms]
        return [CIRCULAR, *others]

    @property
    def known_suites(self) -> list[str]:
        """Every suite that a network of the board is measured on."""
        of_groups = (suite for group in self.groups for suite in group.suites)
        return list(dict.fromkeys([*self.suites, *of_groups]))

    def planned_as(self, label: str, model: str) -> "Planned | None":
        """The network of the board with this label; None where it names none.

        Raises:
            UsageError: it is another network.
        """
        found = next((planned for planned in self.planned if planned.label == label), None)
        if found is not None and found.model != model:
            raise UsageError(
                f"the board has a {label} of its own ({found.model}): call yours otherwise, with "
                "label=NAME in its spec"
            )
        return found

    def suites_called(self, labels: Iterable[str], who: object) -> tuple[str, ...]:
        """The suites that rows call by these labels, as ``equibench run -s`` takes them.

        Args:
            who: was measured on them, for messages.

        Raises:
            UsageError: one is no suite of the board.
        """
        known, found = self._suite_labels, []
        for label in labels:
            if label not in known:
                raise UsageError(
                    f"{who} was measured on {label}, which is no suite of the board: take "
                    f"{' or '.join(known)}"
                )
            found.append(known[label])
        return tuple(found)

    @property
    def _suite_labels(self) -> dict[str, str]:
        """Its suites, as specs, by what rows call them."""
        specs = {text: Spec.parse(text) for text in self.known_suites}
        return {spec.chosen_label or spec.reference: text for text, spec in specs.items()}

    def run(self, model: str, suites: tuple[str, ...], **options: Any) -> RunConfig:
        """The run that measures a network for the board.

        Raises:
            UsageError: an option that a run does not have.
        """
        conditions = self.settings.model_dump(exclude_unset=True)
        fields = {"models": [model], "suites": list(suites), **conditions}
        return validated(fields | {k: v for k, v in options.items() if v is not None}, "the board")


def read_board(path: Path | None = None) -> Board:
    """A board from its TOML file; the one that comes with equibench by default.

    Raises:
        UsageError: it cannot be read, or a field is wrong.
    """
    if path is not None:
        return checked(Board, read_config(path), str(path))
    resource = files("equibench.results") / BOARD
    try:
        fields = tomllib.loads(resource.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read {BOARD} of this installation: {error}; reinstall equibench, or name a "
            "board: --board results/board/board.toml"
        ) from None
    return checked(Board, fields, BOARD)
