"""What an object holds on to: attributes, members, closures, what is weakly referenced, code.

A network is more than its parameters. What its forward pass may read and change is found by
following it from object to object, without calling anything of it.
"""

import functools
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "CONTAINERS",
    "FUNCTIONS",
    "attributes",
    "incidental",
    "is_leaf",
    "members",
    "registered_modules",
    "slots",
    "walk",
]

CONTAINERS = (dict, list, tuple, set, frozenset, deque)
FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial, weakref.ref)

_LIBRARIES = ("torch", "numpy", "builtins", "logging", "threading", "typing", "enum", "pathlib")
"""Packages whose objects are looked at from outside only: they belong to no network."""

_FOLLOWED = ("torch.optim", "torch.nn")
"""Where objects of a library belong to who holds them."""


def walk(
    roots: Sequence[object], members: Callable[[object], Iterator[object]]
) -> Iterator[object]:
    """Every object that can be reached, each once, before what it holds on to.

    Objects are told apart by identity: they may be unhashable, or equal to anything.
    """
    seen: dict[int, object] = {}  # also keeps them alive, so that no other gets their identity
    waiting = deque(roots)
    while waiting:
        value = waiting.popleft()
        if id(value) in seen or isinstance(value, str | int | float | bytes | type(None)):
            continue
        seen[id(value)] = value
        yield value
        waiting.extend(members(value))


def registered_modules(model: nn.Module) -> list[nn.Module]:
    """A module and those in it, as ``model.modules()``, unhashable ones as well."""

    def children(module: object) -> Iterator[object]:
        return iter(getattr(module, "_modules", {}).values())

    return [each for each in walk([model], children) if isinstance(each, nn.Module)]


def members(value: object) -> Iterator[object]:
    """What an object holds by itself; of functions what they close over, not what they name."""
    if isinstance(value, dict):
        yield from list(value.values())
    elif isinstance(value, CONTAINERS):
        yield from list(value)
    elif isinstance(value, types.FunctionType):
        yield from _closed_over(value)
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, weakref.ref):
        yield value()
    elif isinstance(value, torch.jit.ScriptModule):
        yield from (*value.parameters(recurse=False), *value.buffers(recurse=False))
        yield from (*value.children(), *attributes(value).values())
    elif not is_leaf(value):
        told = incidental(type(value))
        yield from [held for name, held in attributes(value).items() if name not in told]


def attributes(value: object) -> dict[str, Any]:
    """The attributes of an instance, those in slots included; no property is called."""
    try:
        found = dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        found = {}
    for name in slots(type(value)):  # type: ignore[arg-type]
        with suppress(AttributeError):  # it is empty
            found[name] = object.__getattribute__(value, name)
    return found


@functools.cache
def slots(kind: type) -> list[str]:
    """The names of the slots of a class."""
    return [
        name
        for each in kind.__mro__
        if each.__module__ != "builtins"
        for name, member in vars(each).items()
        if isinstance(member, types.MemberDescriptorType)
    ]


def incidental(kind: type) -> tuple[str, ...]:
    """The attributes that change no output, as a class of ours says."""
    found = getattr(kind, "changes_no_output", ())
    return found if isinstance(found, tuple) else ()


def is_leaf(value: object) -> bool:
    """Whether an object is looked at from outside only."""
    if isinstance(value, type | types.ModuleType | Tensor | np.ndarray | np.generic):
        return True
    if getattr(type(value), "outlives_calls", False):
        return True  # of ours: a session or a process, which no measurement ends
    if isinstance(value, nn.Module):
        return False
    module = type(value).__module__
    package = module.partition(".")[0]
    return package in _LIBRARIES and not module.startswith(_FOLLOWED)


def _closed_over(function: types.FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is empty
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from vars(function).values()
