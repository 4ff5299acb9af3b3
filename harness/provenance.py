"""On what machine, with what versions and from what sources a run was made."""

import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import torch

__all__ = ["environment"]

_PACKAGES = ("equibench", "torch", "numpy", "pandas", "scipy", "fastmri", "dival", "timm")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, commit (with ``dirty``), machine and device."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "machine": platform.platform(),
        "device": str(device),
        "device_name": (
            torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
        ),
        "threads": torch.get_num_threads(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Of the repository or checkout that equibench was installed from (PEP 610)."""
    text = metadata.distribution("equibench").read_text("direct_url.json")
    source = json.loads(text) if text else {}
    if "vcs_info" in source:
        return str(source["vcs_info"].get("commit_id"))
    place = urlsplit(source.get("url", ""))
    if place.scheme != "file":
        return None
    folder = Path(unquote(place.path))
    folder = folder if folder.is_dir() else folder.parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=-dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
