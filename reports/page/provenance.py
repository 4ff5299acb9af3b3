"""How a run was made, for a reader who wants to repeat it."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

__all__ = ["command", "facts"]


_OPTIONS = ("shifts", "device", "precision", "batch", "limit", "frame", "seed")


def command(configuration: Mapping[str, Any]) -> str:
    """What repeats a run; data roots are left for the reader to fill in.

    Models with suites of their own cannot be written on a command line: a file comes first.
    """
    if configuration.get("also"):
        return f"{_toml(configuration)}\n\nequibench run --config bench.toml"
    words = ["equibench", "run"]
    for option, key in (("-m", "models"), ("-s", "suites")):
        for text in configuration.get(key, ()):
            words += [option, text]
    for key in _OPTIONS:
        if configuration.get(key) is not None:
            words += [f"--{key}", str(configuration[key])]
    for suite in configuration.get("data", {}):
        words += ["--data", f"{suite}=DIR"]
    return shlex.join(words)


def _toml(configuration: Mapping[str, Any]) -> str:
    """A configuration as a file; JSON's strings, numbers and lists are TOML's as well."""
    given = {key: configuration.get(key) for key in ("models", "suites", *_OPTIONS)}
    lines = ["# bench.toml"]
    lines += [f"{key} = {_json(value)}" for key, value in given.items() if value is not None]
    roots = ", ".join(f'{_json(suite)} = "DIR"' for suite in configuration.get("data", {}))
    lines += [f"data = {{ {roots} }}"] if roots else []
    for block in configuration["also"]:
        lines += ["[[also]]", *(f"{key} = {_json(value)}" for key, value in block.items())]
    return "\n".join(lines)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a manifest says of the machine, the versions and the settings, for a list."""
    configuration = manifest.get("configuration", {})
    environment = manifest.get("environment", {})
    fingerprint = manifest.get("fingerprint", {})
    versions = environment.get("versions", {})
    suites = fingerprint.get("suites", {})
    device = [environment.get("device"), environment.get("device_name")]
    found = {
        "state": manifest.get("state"),
        "started": manifest.get("started"),
        "stopped": manifest.get("stopped"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "commit": environment.get("commit"),
        "machine": environment.get("machine"),
        "device": ", ".join(str(part) for part in device if part),
        "precision": configuration.get("precision"),
        "shifts": configuration.get("shifts"),
        "frame": fingerprint.get("frame"),
        "seed": configuration.get("seed"),
        "suites": "; ".join(f"{label} version {_setting(v)}" for label, v in suites.items()),
        "metrics": ", ".join(
            f"{name} version {version}"
            for name, version in fingerprint.get("metric versions", {}).items()
        ),
    }
    return {key: str(value) for key, value in found.items() if value not in (None, "")}


def _setting(suite: Mapping[str, Any]) -> str:
    """A suite's version and its arguments."""
    pairs = [f"{name}={value}" for name, value in suite["arguments"].items()]
    return f"{suite['version']} ({', '.join(pairs)})" if pairs else str(suite["version"])
