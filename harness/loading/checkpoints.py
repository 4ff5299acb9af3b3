"""What a checkpoint holds of a network: among all readings that fit, the one that is meant.

Trainers nest state dicts (``{"model": …, "optimizer": …}``), keep averaged weights beside the raw
ones, and save what was wrapped for several GPUs (``module.``) or compiled (``_orig_mod.``) under
the wrapper's names. Here all tensors of a file are one list of dotted names, and a reading of it
is a prefix of these names: ``params_ema.``, ``state_dict.net.`` or nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["Fit", "Misfit", "fit"]

_WRAPPERS = {"module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
"""Names that wrappers put into the path of a module: several GPUs, compilation, averaging."""

_BOOKKEEPING = re.compile(r"(.*\.)?(n_averaged|total_ops|total_params)")
"""Tensors that wrappers and counters of operations leave in a state dict."""

_AVERAGED = re.compile(r"(?i)(^|[_.])(ema|swa|averaged?)([_.]|$)")
"""Names of averaged weights, which are what is published of a training that keeps them."""

_PARAMETRIZED = [
    (re.compile(r"parametrizations\.(\w+)\.original0$"), r"\1_g"),
    (re.compile(r"parametrizations\.(\w+)\.original1$"), r"\1_v"),
    (re.compile(r"parametrizations\.(\w+)\.original$"), r"\1_orig"),
    (re.compile(r"parametrizations\.(\w+)\.0\._([uv])$"), r"\1_\2"),
]
"""The newer names of weight and spectral norm, and the older ones."""


class Misfit(ValueError):
    """No reading of a file fits; the message says what the best one lacks."""


@dataclass(frozen=True)
class Fit:
    """A state dict that fits a network.

    Args:
        state: under the network's own names.
        taken: the part of the file that it is; empty where it is the whole.
        passed_over: other parts that would fit as well.
    """

    state: Mapping[str, Tensor]
    taken: str = ""
    passed_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``params_ema (not params)``."""
        others = f" (not {', '.join(self.passed_over)})" if self.passed_over else ""
        return f"{self.taken or 'the whole'}{others}" if self.taken or others else ""


@dataclass(frozen=True)
class _Stored:
    """A tensor of a file.

    Args:
        name: dotted, from the top of the file.
        holder: the name of the dict that it is in, with a dot at its end.
    """

    name: str
    holder: str
    tensor: Tensor


@dataclass(frozen=True)
class _Reading:
    """The tensors that a prefix gives a network.

    Args:
        found: by the network's own names.
        wrong: names of its own that are missing or of another shape, and why.
        rest: names in the same dicts that the network does not know.
    """

    part: str
    found: Mapping[str, _Stored]
    wrong: Mapping[str, str]
    rest: Sequence[str]

    @property
    def complete(self) -> bool:
        return not self.wrong

    @property
    def averaged(self) -> bool:
        return bool(_AVERAGED.search(self.part))


def fit(content: object, network: nn.Module, part: str = "") -> Fit:
    """The state dict for a network among all that a file holds.

    It is the one that has all of the network's tensors, in their shapes. Of several, averaged
    weights come before raw ones.

    Args:
        content: what was in the file: a state dict, a dict that holds some, or a module.
        part: which of several is meant.

    Raises:
        Misfit: none fits, or several do and none is meant more than the others.
    """
    stored = list(_stored(content))
    if not stored:
        has = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content)
        raise Misfit(f"holds no state dict, but {has or 'nothing'}")
    own = dict(_tensors(network))
    readings = _readings(stored, own, network)
    if part:
        named = [r for r in readings if r.part == part or r.part.startswith(f"{part}.")]
        if not named:
            known = ", ".join(dict.fromkeys(r.part for r in readings if r.part)) or "no parts"
            raise Misfit(f"has no part {part!r} that is of this network; it has {known}")
        readings = named
    return _chosen(readings, own)


def _stored(content: object, name: str = "", depth: int = 0) -> Iterator[_Stored]:
    """All tensors, from the top to the bottom of dicts and modules."""
    if isinstance(content, nn.Module):
        content = content.state_dict()
    if not isinstance(content, Mapping) or depth > 6:
        return
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield _Stored(f"{name}{key}", name, value)
        else:
            yield from _stored(value, f"{name}{key}.", depth + 1)


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, value in network.state_dict().items():
        if isinstance(value, Tensor):
            yield name, value


def _plain(name: str) -> str:
    """A name without what wrappers add to it, in the older form where there are two."""
    for pattern, older in _PARAMETRIZED:
        name = pattern.sub(older, name)
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _readings(
    stored: Sequence[_Stored], own: Mapping[str, Tensor], network: nn.Module
) -> list[_Reading]:
    """Every prefix under which there is something of the network's, the fullest first."""
    names = {_plain(name): name for name in own}
    if len(names) < len(own):  # a part of it has the name of a wrapper
        names = {name: name for name in own}
    inner = _common(names)
    found: dict[tuple[str, str], dict[str, _Stored]] = {}
    for each in stored:
        parts = _plain(each.name).split(".")
        for start in range(len(parts)):
            if start and parts[start - 1].isdigit():
                continue  # one of several layers is no network that something was put around
            prefix, suffix = ".".join(parts[:start]), ".".join(parts[start:])
            for outer in inner:
                name = names.get(f"{outer}{suffix}")
                if name is not None:
                    found.setdefault((prefix, outer), {}).setdefault(name, each)
    readings = [
        _reading(prefix, matched, stored, own, network) for (prefix, _), matched in found.items()
    ]
    readings = readings or [_reading("", {}, stored, own, network)]
    return sorted(readings, key=lambda reading: (len(reading.wrong), len(reading.rest)))


def _common(names: Mapping[str, str]) -> list[str]:
    """Nothing, and the modules that hold all others: what was trained may have been inside."""
    outer = [""]
    while True:
        heads = {name[len(outer[-1]) :].partition(".")[0] for name in names}
        deeper = all("." in name[len(outer[-1]) :] for name in names)
        if len(heads) != 1 or not deeper:
            return outer
        outer.append(f"{outer[-1]}{heads.pop()}.")


def _reading(
    prefix: str,
    found: Mapping[str, _Stored],
    stored: Sequence[_Stored],
    own: Mapping[str, Tensor],
    network: nn.Module,
) -> _Reading:
    """What is under a plain prefix, held against the network's own tensors."""
    wrong = {}
    for name, tensor in own.items():
        if name not in found:
            if not name.endswith("num_batches_tracked"):  # older files have none
                wrong[name] = f"no {name}"
        elif not is_lazy(tensor) and found[name].tensor.shape != tensor.shape:
            wrong[name] = f"{name} is {_size(found[name].tensor)}, not {_size(tensor)}"
    taken = list(found.values())
    start = _within(taken[0].name, len(prefix.split("."))) if prefix else ""
    holders = {each.holder for each in taken or stored}
    known = {each.name for each in taken}
    buffers = {_plain(name): value for name, value in network.named_buffers()}
    rest = [
        each.name
        for each in stored
        if each.holder in holders
        and each.name.startswith(start)
        and each.name not in known
        and not _harmless(each, buffers.get(_plain(each.name.removeprefix(start))))
    ]
    return _Reading(start.rstrip("."), found, wrong, rest)


def _within(name: str, count: int) -> str:
    """The beginning of a name that has so many parts, not counting those of wrappers."""
    parts: list[str] = []
    for part in name.split("."):
        if count == 0:
            break
        parts.append(part)
        count -= part not in _WRAPPERS
    return "".join(f"{part}." for part in parts)


def _harmless(stored: _Stored, own: Tensor | None) -> bool:
    """What counts and averages leave, and constants that the network makes itself."""
    if _BOOKKEEPING.fullmatch(stored.name):
        return True
    return own is not None and own.shape == stored.tensor.shape and _same(own, stored.tensor)


def _chosen(readings: Sequence[_Reading], own: Mapping[str, Tensor]) -> Fit:
    complete = [reading for reading in readings if reading.complete]
    claimed = {each.name for reading in complete for each in reading.found.values()}
    clean = [r for r in complete if not set(r.rest) - claimed]
    if not clean:
        best = readings[0]
        problems = [
            *best.wrong.values(),
            *(f"{name} is unknown to the model" for name in best.rest),
        ]
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise Misfit(f"do not fit: {'; '.join(problems[:3])}{more}")
    meant = [reading for reading in clean if reading.averaged] or clean
    different = [meant[0]]
    for reading in meant[1:]:
        if not any(_equal(reading, other) for other in different):
            different.append(reading)
    if len(different) > 1:
        parts = [reading.part or "the rest" for reading in different]
        raise Misfit(f"fit several times: as {', '.join(parts)}; name one, weights=FILE#{parts[0]}")
    chosen = different[0]
    state = {name: chosen.found[name].tensor if name in chosen.found else own[name] for name in own}
    others = tuple(r.part for r in clean if r.part and not _equal(r, chosen))
    return Fit(state, chosen.part, others)


def _equal(one: _Reading, other: _Reading) -> bool:
    return all(
        _same(one.found[name].tensor, other.found[name].tensor)
        for name in one.found
        if name in other.found
    )


def _same(one: Tensor, other: Tensor) -> bool:
    return one is other or bool((one.cpu() == other.cpu()).all())


def _size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"
