"""What stands in ``run.json``: what a run is, what it should hold, and how far it has come.

``RunFolder`` writes it.
"""

import json
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from equibench.errors import EquibenchError, UsageError
from equibench.runs.row_files import unit_name

__all__ = [
    "SCHEMA",
    "begin",
    "damaged_manifest",
    "ended",
    "expected",
    "given_up",
    "newer",
    "read_manifest",
    "same_split",
    "shortfall",
    "signed",
]

SCHEMA = 3
"""Of what is written."""

_READ = (2, 3)
"""What can be read. Files of rows carry digests since 3."""

_KINDS: dict[str, type] = {
    "state": str,
    "fingerprint": dict,
    "models": dict,
    "configuration": dict,
    "environment": dict,
    "probes": dict,
    "units": dict,
    "batches": dict,
    "shards": dict,
    "files": dict,
}
_NEEDED = ("fingerprint", "models")


def read_manifest(file: Path) -> dict[str, Any]:
    """A manifest whose fields are of the right kinds.

    Raises:
        UsageError: another version of equibench wrote it.
        EquibenchError: it cannot be read, or is not what a run writes.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise damaged_manifest(file, error.strerror or str(error)) from None
    except ValueError as error:
        raise damaged_manifest(file, str(error)) from None
    if not isinstance(content, dict) or not isinstance(content.get("schema"), int):
        raise damaged_manifest(file, "it has no schema version")
    if content["schema"] not in _READ:
        found = f"{file.parent} has schema version {content['schema']}"
        reads = f"this equibench reads versions {_READ[0]} to {_READ[-1]}"
        if content["schema"] > SCHEMA:
            raise UsageError(newer(f"{found}, {reads}"))
        raise UsageError(f"{found}, {reads}: repeat the run into another folder")
    for name, kind in _KINDS.items():
        if not isinstance(content.get(name, None if name in _NEEDED else kind()), kind):
            raise damaged_manifest(file, f"it has no {name}")
    if not isinstance(content["fingerprint"].get("suites"), dict):
        raise damaged_manifest(file, "it has no suites")
    return content


def newer(found: str) -> str:
    """What is said of something that only a newer version can read."""
    return f"{found}: a newer equibench wrote it; pip install --upgrade equibench"


def signed(manifest: Mapping[str, Any]) -> bool:
    """Whether the names of files of rows carry digests."""
    return int(manifest.get("schema", SCHEMA)) > 2


def expected(manifest: Mapping[str, Any]) -> list[str]:
    """The units of a run, as far as its manifest knows."""
    return [
        unit_name(stem, number)
        for stem, count in manifest.get("units", {}).items()
        for number in range(count)
    ]


def given_up(manifest: Mapping[str, Any]) -> set[str]:
    """Units that those who were to measure them could not."""
    found = manifest.get("unmeasured", {})
    if not isinstance(found, Mapping):  # schema 2
        return set(found) if manifest.get("state") == "finished" else set()
    return {unit for units in found.values() for unit in units}


def shortfall(manifest: Mapping[str, Any], lacking: int) -> str:
    """What a run does not hold yet, as a phrase; empty where it has finished."""
    state = manifest.get("state")
    if state == "finished":
        return ""
    missed = f" and lacks {lacking} of {len(expected(manifest))} units" if lacking else ""
    return f"is {state or 'in an unknown state'}{missed}"


def same_split(by_shard: Mapping[str, Any], shard: str | None) -> dict[str, Any]:
    """What is said of the other shards of a split; nothing where the run is not split like that."""
    count = f"/{(shard or '').partition('/')[2]}"
    return {s: said for s, said in by_shard.items() if shard and s != shard and s.endswith(count)}


def begin(manifest: MutableMapping[str, Any], shard: str | None) -> None:
    """Note that a run, or one shard of it, goes on."""
    shards = same_split(manifest.get("shards", {}), shard)
    manifest["shards"] = shards | ({shard: "running"} if shard else {})
    unmeasured = manifest.get("unmeasured", {})
    manifest["unmeasured"] = same_split(unmeasured, shard) if isinstance(unmeasured, dict) else {}
    manifest["state"] = "running"


def ended(
    manifest: MutableMapping[str, Any], shard: str | None, state: str, *, lacking: bool
) -> None:
    """Note how a run, or one shard of it, came to its end.

    A run in shards has finished when nothing is lacking; until then it is what has become of those
    that did not.
    """
    manifest["state"] = state
    if shard is None:
        return
    shards = manifest["shards"] = {**manifest.get("shards", {}), shard: state}
    others = [known for known in shards.values() if known != "finished"]
    if "running" in others:
        manifest["state"] = "running"
    elif lacking:
        manifest["state"] = max(others, default="running")  # others have yet to start
    else:
        manifest["state"] = max(others, default="finished")


def damaged_manifest(file: Path, reason: str) -> EquibenchError:
    """What is said of a manifest that is not what a run writes: nothing can make it again."""
    return EquibenchError(
        f"{file} is damaged ({reason}): restore it, or repeat the run into another folder"
    )
