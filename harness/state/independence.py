"""Whether a copy of a network computes by itself: what is reached from both.

``copy.deepcopy`` copies attributes, but not functions: a lambda made in ``__init__`` still reads
the original, and so do weak references and what code names as a global or on its class. All that
the code of a forward pass refers to is followed; whatever may change and is reached from both is
shared.
"""

import enum
import functools
import logging
import pathlib
import re
import sys
import types
import weakref
from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from equibench.state.object_graph import CONTAINERS, is_leaf, members

__all__ = ["common"]

_TRUSTED = {"torch", "numpy", "equibench", "pydantic", "einops", *sys.stdlib_module_names}
"""Packages whose code is taken to keep nothing between calls."""

_CALLED = {
    *("forward", "__call__", "__getattr__", "__getattribute__", "__setattr__", "__getitem__"),
    *("__setitem__", "__iter__", "__len__", "__bool__", "__enter__", "__exit__", "__get__"),
}
"""Names of a class that are called without being named."""

_FIXED = (
    *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType),
    *(types.WrapperDescriptorType, types.MethodDescriptorType, types.GetSetDescriptorType),
    *(types.MemberDescriptorType, types.ClassMethodDescriptorType, types.GenericAlias),
    *(types.CodeType, types.UnionType, types.EllipsisType, types.NotImplementedType),
    *(type, tuple, frozenset, range, slice, complex, property, classmethod, staticmethod),
    *(functools.partial, functools.cached_property, weakref.ref, re.Pattern, enum.Enum),
    *(logging.Logger, pathlib.PurePath, np.generic, np.dtype, np.ufunc),
    *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format, torch.finfo),
    *(torch._ops.OpOverload, torch._ops.OpOverloadPacket),
)
"""What does not change, or only by what it refers to."""


def common(model: nn.Module, copy: object, parameters: Collection[int]) -> str | None:
    """What may change and is reached from a model and from its copy, in words; None for nothing.

    Args:
        parameters: identities of tensors that both are meant to have.
    """
    ours = {id(value) for value in _Reach(model).values()}
    for value in _Reach(copy).values():
        shared = id(value) in ours and id(value) not in parameters
        if shared and not isinstance(value, _FIXED):
            return "the network" if value is model else f"a {type(value).__name__}"
    return None


class _Reach:
    """All that an object holds on to or its code refers to.

    Of a class, only what some code reached so far names.
    """

    def __init__(self, root: object) -> None:
        self.seen: dict[int, object] = {}
        self.waiting: deque[object] = deque([root])
        self.named = set(_CALLED)
        self.unnamed: defaultdict[str, list[object]] = defaultdict(list)

    def values(self) -> Iterator[object]:
        while self.waiting:
            value = self.waiting.popleft()
            if id(value) in self.seen or isinstance(value, str | int | float | bytes | type(None)):
                continue
            self.seen[id(value)] = value
            yield value
            self.waiting.extend(members(value))
            self._code(value)

    def _code(self, value: object) -> None:
        if isinstance(value, types.FunctionType):
            if not _trusted(value.__module__):
                self._names(value.__code__, value.__globals__)
        elif isinstance(value, property):
            self.waiting += [value.fget, value.fset]
        elif isinstance(value, classmethod | staticmethod):
            self.waiting.append(value.__func__)
        elif isinstance(value, functools.cached_property):
            self.waiting.append(value.func)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, nn.Module) or not (is_leaf(value) or isinstance(value, CONTAINERS)):
            self._class(type(value))

    def _class(self, kind: type) -> None:
        for each in kind.__mro__:
            if _trusted(each.__module__) or id(each) in self.seen:
                continue
            self.seen[id(each)] = each
            for name, member in vars(each).items():
                if name in self.named:
                    self.waiting.append(member)
                else:
                    self.unnamed[name].append(member)

    def _names(self, code: types.CodeType, names: dict[str, Any]) -> None:
        for name in code.co_names:
            self.named.add(name)
            self.waiting += self.unnamed.pop(name, [])
            value = names.get(name)
            if isinstance(value, types.ModuleType):
                if not _trusted(value.__name__):
                    self.waiting += [vars(value).get(each) for each in code.co_names]
            else:
                self.waiting.append(value)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._names(constant, names)


def _trusted(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _TRUSTED
