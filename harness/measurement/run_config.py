"""What a run is asked to do: the options of ``equibench run`` and the fields of its TOML file."""

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from equibench.errors import UsageError
from equibench.foundation.file_names import as_texts
from equibench.foundation.validation import checked
from equibench.transforms.shift_plans import DEFAULT_SHIFTS

__all__ = ["SPLITTING", "Block", "Conditions", "RunConfig", "read_config", "validated"]

SPLITTING = (
    *("engine", "scheduler", "workers", "shard", "trust_pickle", "isolate"),
    *("track", "keep_outputs"),
)
"""Fields that say who does the work, whom it trusts, who is told and what is kept: they change no
number.
"""


def _one_of_several(shard: str) -> str:
    match = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", shard)
    if not match or int(match[1]) > int(match[2]):
        raise ValueError("not i/n with i from 1 to n")
    return shard


class Conditions(BaseModel):
    """Under which conditions a model is measured on a suite."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shifts: str = DEFAULT_SHIFTS
    transforms: tuple[str, ...] = ()
    device: str = "auto"
    precision: Literal["fp32", "fp64", "tf32", "bf16", "fp16"] = "fp32"
    screen: Literal["tf32", "bf16"] | None = None
    batch: PositiveInt | Literal["auto"] = "auto"
    limit: PositiveInt | None = None
    metrics: tuple[str, ...] = ()
    frame: Literal["canonical", "reference"] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    exhaustive: bool = False
    spots: PositiveInt = 6
    seed_forward: bool = False
    optimize: tuple[Literal["fuse", "channels-last", "compile"], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _transforms_alone(cls, fields: Any) -> Any:
        """Who names transforms and no shifts means no circular ones."""
        if isinstance(fields, dict) and fields.get("transforms"):
            return {"shifts": ""} | fields
        return fields

    @field_validator("screen")
    @classmethod
    def _confirmed_in_fp32(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("precision", "fp32") != "fp32":
            raise ValueError("what is screened is confirmed in fp32: leave --precision out")
        return value

    @property
    def unsaid(self) -> tuple[str, ...]:
        """Fields that earlier versions did not have and that say nothing here."""
        return tuple(
            name for name in ("metrics", "transforms", "screen") if not getattr(self, name)
        )

    @property
    def comparison_frame(self) -> Literal["canonical", "reference"]:
        """The frame asked for; by default the paper's for its own shifts, else canonical."""
        return self.frame or ("reference" if self.shifts.startswith("paper") else "canonical")


class Block(BaseModel):
    """Models, each to be measured on all of these suites."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Annotated[tuple[str, ...], Field(min_length=1)]
    suites: Annotated[tuple[str, ...], Field(min_length=1)]


class Blocks(Block):
    """Models and suites, and in ``also`` further models with suites of their own."""

    also: tuple[Block, ...] = ()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All models with their suites."""
        return (self, *self.also)


class RunConfig(Conditions, Blocks):
    """One run; two runs with equal configurations measure the same."""

    engine: Literal["local", "dask"] = "local"
    scheduler: str | None = None
    workers: PositiveInt | None = None
    shard: Annotated[str, AfterValidator(_one_of_several)] | None = None
    data: dict[str, str] = Field(default_factory=dict)
    track: tuple[str, ...] = ()
    keep_outputs: bool = False
    trust_pickle: bool = False
    isolate: bool = False

    @model_validator(mode="before")
    @classmethod
    def _implied(cls, fields: Any) -> Any:
        """Who names workers or a scheduler means Dask."""
        if isinstance(fields, dict) and (fields.get("scheduler") or fields.get("workers")):
            return {"engine": "dask"} | fields
        return fields

    @field_validator("keep_outputs")
    @classmethod
    def _of_chosen_shifts(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("shifts") == "all":
            raise ValueError("outputs under all shifts are too many: name --shifts random:n=10")
        if value and info.data.get("screen"):
            raise ValueError("outputs of a screened run are of two precisions: leave --screen out")
        return value

    @field_validator("scheduler", "workers")
    @classmethod
    def _of_dask(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("engine") == "local":
            raise ValueError(f'{info.field_name} is for engine = "dask"')
        return value

    @property
    def loading(self) -> dict[str, bool]:
        """How ``load_spec`` is to load the models."""
        return {"trust_pickle": self.trust_pickle, "isolate": self.isolate}

    @property
    def digest(self) -> str:
        """Ten characters that equal configurations share; data roots do not count."""
        content = self.model_dump_json(exclude={"data", "device", *SPLITTING, *self.unsaid})
        return hashlib.sha256(content.encode()).hexdigest()[:10]


def read_config(path: Path) -> dict[str, Any]:
    """The fields in a TOML file.

    Raises:
        UsageError: it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None


def validated(fields: dict[str, Any], source: str) -> RunConfig:
    """A run's configuration from its fields.

    Raises:
        UsageError: an unknown field (with the closest), a missing one, or a bad value.
    """
    return checked(RunConfig, as_texts(fields), source)
