"""On what machine, with what versions and from what sources a run was made."""

import hashlib
import inspect
import json
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import torch

from equibench.registry.plugin_files import sources_beside

__all__ = ["environment", "source_sha256", "version_of"]

_PACKAGES = (
    *("equibench", "torch", "numpy", "pandas", "scipy", "fastmri", "dival", "timm"),
    *(
        "segmentation-models-pytorch",
        "monai",
        "deepinv",
        "onnxruntime",
        "transformers",
        "diffusers",
    ),
)


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, commit (with ``dirty``), machine and device."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "machine": platform.platform(),
        "device": str(device),
        "device_name": (
            _processor()
            if device.type == "cpu"
            else torch.cuda.get_device_name(device)
            if torch.cuda.is_available()
            else "of the workers"
        ),
        "threads": torch.get_num_threads(),
    }


def source_sha256(targets: Iterable[object]) -> str:
    """A hash of the files that define classes or functions.

    For a plugin file, the modules that it has loaded from its own repository belong to it. What
    PyTorch defines is left to its version.
    """
    files: set[Path] = set()
    for target in targets:
        module = str(getattr(target, "__module__", ""))
        if module.partition(".")[0] in ("torch", "builtins", ""):
            continue
        try:
            file = Path(inspect.getsourcefile(target) or "")  # type: ignore[arg-type]
        except TypeError:
            continue
        files |= {file, *sources_beside(module)}
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def version_of(module: str) -> str | None:
    """The version of the distribution that is called like a module."""
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        return None


@cache
def _versions() -> dict[str, str]:
    """Read once in a process: what is installed later is not what was imported."""
    return {name: version for name in _PACKAGES if (version := version_of(name))}


def _commit() -> str | None:
    """Of the repository or checkout that equibench was installed from (PEP 610)."""
    text = metadata.distribution("equibench").read_text("direct_url.json")
    source = json.loads(text) if text else {}
    if "vcs_info" in source:
        return str(source["vcs_info"].get("commit_id"))
    url = urlsplit(source.get("url", ""))
    if url.scheme != "file":
        return None
    folder = Path(unquote(url.path))
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
