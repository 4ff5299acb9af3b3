"""An entry of a board: one network's rows, what it is, and how it was measured; one JSON file.

A case's errors under a motion stand in one line, so that git shows what changed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite, nan
from pathlib import Path
from typing import Any

from equibench.errors import EquibenchError, UsageError
from equibench.foundation.atomic_files import replacing, writable
from equibench.registry.specs import slug
from equibench.transforms.transform import CIRCULAR

__all__ = ["SCHEMA", "CaseErrors", "Entry", "read_entries", "read_entry", "told_apart"]

SCHEMA = 1


@dataclass(frozen=True)
class CaseErrors:
    """What a case's outputs were under the elements of one motion.

    Args:
        motion: the transform's label: ``circular``, ``crop`` and so on.
        floor: NMSE of the unmoved image in another slot of a batch.
        at: what each element is called.
        nmse: the error of each.
        agreement: of label maps, the share of pixels with the same label.
        quality: metrics of the unmoved output against the ground truth, where there is one.
        variation: of the unmoved output's energy, the share that is not its mean; of label maps
            1, or 0 where all pixels have one label.
    """

    suite: str
    motion: str
    case: str
    cluster: str
    floor: float
    at: Sequence[str]
    nmse: Sequence[float]
    agreement: Sequence[float] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    variation: float = 1.0

    @property
    def errors(self) -> Sequence[float]:
        """What a board compares: the squared error over the variance of the output.

        It is the NMSE of an output whose mean is taken off first: nobody stands well because the
        output is nearly constant. Of label maps, the share of pixels whose label changes. NaN
        where nothing varies.
        """
        if not self.variation > 0:
            return [nan for _ in self.at]
        if self.agreement:
            return [1 - share for share in self.agreement]
        return [error / self.variation for error in self.nmse]

    def varies(self, limit: float) -> bool:
        """Whether the output is more than one value and rounding: no motion shows in others."""
        return self.variation > limit

    def beyond(self, limit: float) -> bool:
        """Whether any error is more than rounding, whose NMSE is at most the limit."""
        if self.agreement:
            return any(share < 1 for share in self.agreement)
        return any(not error <= limit for error in self.nmse)


@dataclass(frozen=True)
class Entry:
    """One network on a board.

    Args:
        model: as ``equibench run -m`` takes it.
        trained: on what, in words; empty where it starts from a fixed seed.
        identity: hashes, parameters and registered details of the network, as ``run.json`` has.
        facts: of the network itself: ``network_facts``.
        conditions: all that the numbers depend on beside the network: the run's fingerprint.
        environment: machine, versions and commit.
        refused: why there is nothing of a suite's motion, by ``suite · motion``.
        errors: of every case.
    """

    label: str
    model: str
    trained: str
    source: str
    licence: str
    identity: Mapping[str, Any]
    facts: Mapping[str, Any]
    conditions: Mapping[str, Any]
    environment: Mapping[str, Any]
    measured: str
    refused: Mapping[str, str]
    errors: Sequence[CaseErrors]

    @property
    def file_name(self) -> str:
        """Of its own: two people's networks of one name are two files."""
        return f"{slug(self.label)}-{self.digest}.json"

    @property
    def digest(self) -> str:
        """Of its name, weights and sources: eight digits."""
        known = [self.label, self.identity.get("state_sha256"), self.identity.get("source_sha256")]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:8]

    @property
    def division(self) -> str:
        """``trained`` or ``untrained``."""
        return "trained" if self.trained else "untrained"

    @property
    def suites(self) -> list[str]:
        """The labels of those that it was measured on."""
        return list(dict.fromkeys(each.suite for each in self.errors))

    def gaps(self) -> Iterator[str]:
        """What is lacking, in words: an entry has all cases of a suite, under every motion that the
        network does not refuse.
        """
        for suite in self.suites:
            wanted = int(str(self.conditions["suites"][suite]["cases"]).split()[0])
            for motion in (CIRCULAR, *self.conditions.get("transforms", {})):
                cases = self.of(suite, motion)
                if motion != CIRCULAR and not cases and f"{suite} · {motion}" in self.refused:
                    continue
                names = {each.case for each in cases if each.at and len(each.at) == len(each.nmse)}
                if len(names) < wanted:
                    yield f"{len(names)} of {wanted} cases of {suite} under {motion}"

    def of(self, suite: str, motion: str) -> list[CaseErrors]:
        """The cases of a suite under one motion."""
        return [each for each in self.errors if (each.suite, each.motion) == (suite, motion)]

    def write(self, out: Path) -> Path:
        """Write the file into a folder, or under a name that ends in ``.json``; returns it.

        Raises:
            EquibenchError: it cannot be written.
            UsageError: the file is that of another network, or no JSON.
        """
        file = out if out.suffix == ".json" else out / self.file_name
        if out.suffix not in ("", ".json") and not out.is_dir():
            raise UsageError(f"{out}: an entry is a .json file, or has its own name in a folder")
        if file.exists() and (other := read_entry(file)).digest != self.digest:
            raise UsageError(
                f"{file} is the entry of {other.label}, another network: choose another -o"
            )
        with writable(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(self.text, encoding="utf-8")
        return file

    @property
    def text(self) -> str:
        """The JSON: everything indented, but a line for each case and motion."""
        head = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "errors"}
        lines = [
            json.dumps(
                {k: v for k, v in _plain(asdict(each)).items() if v or v == 0}, ensure_ascii=False
            )
            for each in self.errors
        ]
        text = json.dumps({"schema": SCHEMA, **_plain(head)}, indent=1, ensure_ascii=False)
        return f"{text[:-2]},\n" + ' "errors": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def read_entry(file: Path) -> Entry:
    """An entry from its file.

    Raises:
        UsageError: a newer equibench wrote it.
        EquibenchError: it cannot be read, or is no entry.
    """
    remedy = "equibench submit RUN writes it anew"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.pop("schema") > SCHEMA:
            raise UsageError(f"{file}: a newer equibench wrote it; pip install --upgrade equibench")
        errors = [CaseErrors(**_numbers(each)) for each in content.pop("errors")]
        return Entry(**content, errors=errors)
    except OSError as error:
        raise EquibenchError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EquibenchError(f"{file} is no entry of a board ({error}): {remedy}") from None


def read_entries(folder: Path) -> list[Entry]:
    """All entries of a folder, by file name.

    Raises:
        EquibenchError: a file is no entry.
    """
    return [read_entry(file) for file in sorted(folder.glob("*.json"))]


def told_apart(entries: Sequence[Entry]) -> list[Entry]:
    """Entries of one name get what their files have behind it."""
    alike = Counter(entry.label for entry in entries)
    return [
        replace(entry, label=f"{entry.label} ({entry.digest})") if alike[entry.label] > 1 else entry
        for entry in entries
    ]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinities: they travel as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value


def _numbers(line: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(line)
    for name in ("floor", "variation"):
        found[name] = float(found[name])
    for name in ("nmse", "agreement"):
        found[name] = [float(value) for value in found.get(name, ())]
    found["quality"] = {name: float(value) for name, value in found.get("quality", {}).items()}
    return found
