"""All that a model holds, noted before it is measured and put back afterwards.

Networks fill caches, count their calls, change their input's place in memory, train themselves.
Whatever a forward pass does, the model is afterwards what it was: attributes, containers, tensors
with memory, gradient and class, generators of random numbers.
"""

import copy
import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from equibench.state.object_graph import (
    CONTAINERS,
    FUNCTIONS,
    attributes,
    incidental,
    is_leaf,
    members,
    slots,
    walk,
)
from equibench.state.tensor_memory import data_of, memory_of, parts_of, same_bits

__all__ = ["ModelState", "evaluating", "modules_of", "tensors_of"]


def modules_of(model: object) -> list[nn.Module]:
    """The modules of a model, those in plain attributes and in closures of functions included."""
    return [value for value in walk([model], members) if isinstance(value, nn.Module)]


def tensors_of(model: object) -> list[Tensor]:
    """The tensors of a model, wherever it keeps them."""
    return [value for value in walk([model], members) if isinstance(value, Tensor)]


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """A model in ``eval()`` mode, as networks are measured, and afterwards in its own again."""
    modules = modules_of(model)
    training = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, training, strict=True):
            module.training = mode


def _owned(value: object) -> Iterator[object]:
    """What belongs to an object, but not what a function closes over."""
    return iter(()) if isinstance(value, FUNCTIONS) else members(value)


class _Noted(Protocol):
    def same(self) -> bool: ...
    def put_back(self) -> None: ...


class ModelState:
    """What a model was when this was made.

    What plain functions close over is followed to networks and tensors, but lists and the like
    that they write to are theirs: a log, say.

    Args:
        known: another state, whose copies of memory are used where it is the same memory.
        beside: another state, which looks after memory that the model shares with its own.
    """

    def __init__(
        self,
        model: object,
        known: "ModelState | None" = None,
        beside: "ModelState | None" = None,
    ) -> None:
        self._memory: dict[tuple[str, int], _Memory] = {}
        self._known = known._memory if known is not None else {}
        self._beside = beside._memory if beside is not None else {}
        self._noted: list[_Noted] = []
        reached = list(walk([model], members))
        networks = [value for value in reached if isinstance(value, nn.Module)]
        tensors = [value for value in reached if isinstance(value, Tensor)]
        for value in walk([model, *networks, *tensors], _owned):
            self._note(value)
        self._noted += self._memory.values()

    @property
    def changed(self) -> bool:
        """Whether anything is not what it was."""
        return not all(noted.same() for noted in self._noted)

    def put_back(self) -> None:
        """Make everything what it was."""
        for noted in self._noted:
            if not noted.same():
                noted.put_back()

    def _note(self, value: object) -> None:
        if isinstance(value, FUNCTIONS):
            return
        if isinstance(value, Tensor):
            self._noted.append(_Tensor(value))
            for part in parts_of(value):
                storage = part.untyped_storage()
                key = str(storage.device), storage.data_ptr()
                if key not in self._memory and key not in self._beside:
                    self._memory[key] = self._known.get(key) or _Memory(storage)
        elif isinstance(value, np.ndarray):
            self._noted.append(_Array(value))
        elif isinstance(value, torch.Generator | np.random.Generator | random.Random):
            self._noted.append(_RandomState(value))
        elif isinstance(value, CONTAINERS):
            if not isinstance(value, tuple | frozenset):
                self._noted.append(_Container(value))
        elif isinstance(value, nn.Module) or not is_leaf(value):
            self._noted.append(_Instance(value))


class _Instance:
    """The attributes of an object, and its class, which lazy layers change."""

    def __init__(self, value: object) -> None:
        self.value, self.kind, self.attributes = value, type(value), attributes(value)
        self.training = value.training if isinstance(value, ScriptModule) else None

    def same(self) -> bool:
        if type(self.value) is not self.kind:
            return False
        if isinstance(self.value, ScriptModule) and self.value.training != self.training:
            return False
        return _identical(self._lasting(attributes(self.value)), self._lasting(self.attributes))

    def _lasting(self, found: dict[str, Any]) -> dict[str, Any]:
        """Without what an object tells of its last call."""
        told = incidental(self.kind)
        return {name: held for name, held in found.items() if name not in told} if told else found

    def put_back(self) -> None:
        if type(self.value) is not self.kind:
            object.__setattr__(self.value, "__class__", self.kind)
        if isinstance(self.value, ScriptModule):
            self.value.training = bool(self.training)
        names = slots(self.kind)  # type: ignore[arg-type]
        with suppress(AttributeError):  # it has slots alone
            namespace = object.__getattribute__(self.value, "__dict__")
            namespace.clear()  # also for the order
            namespace.update({k: v for k, v in self.attributes.items() if k not in names})
        for name in names:
            if name in self.attributes:
                object.__setattr__(self.value, name, self.attributes[name])
            elif name in attributes(self.value):
                object.__delattr__(self.value, name)


class _Container:
    """The members of a dict, list, set or deque."""

    def __init__(self, value: Any) -> None:
        self.value, self.copy = value, self._members(value)

    @staticmethod
    def _members(value: Any) -> dict[Any, Any]:
        return dict(value) if isinstance(value, dict) else dict(enumerate(value))

    def same(self) -> bool:
        return _identical(self._members(self.value), self.copy)

    def put_back(self) -> None:
        self.value.clear()
        if isinstance(self.value, list | deque):
            self.value.extend(self.copy.values())
        else:
            self.value.update(self.copy if isinstance(self.value, dict) else self.copy.values())


class _Array:
    def __init__(self, value: Any) -> None:
        self.value, self.copy = value, value.copy()

    def same(self) -> bool:
        return bool(self.value.tobytes() == self.copy.tobytes())

    def put_back(self) -> None:
        self.value[...] = self.copy


class _RandomState:
    """The state of a generator of PyTorch, NumPy or the standard library."""

    def __init__(self, value: Any) -> None:
        self.value, self.state = value, self._state(value)

    @staticmethod
    def _state(value: Any) -> Any:
        if isinstance(value, torch.Generator):
            return value.get_state()
        if isinstance(value, np.random.Generator):
            return copy.deepcopy(value.bit_generator.state)
        return value.getstate()

    def same(self) -> bool:
        now = self._state(self.value)
        if isinstance(now, Tensor):
            return torch.equal(now, self.state)
        return repr(now) == repr(self.state)

    def put_back(self) -> None:
        if isinstance(self.value, torch.Generator):
            self.value.set_state(self.state)
        elif isinstance(self.value, np.random.Generator):
            self.value.bit_generator.state = self.state
        else:
            self.value.setstate(self.state)


class _Tensor:
    """What a tensor is beside the numbers in its memory."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.kind = tensor, type(tensor)
        self.data = data_of(tensor)
        self.requires_grad, self.leaf = tensor.requires_grad, tensor.is_leaf
        self.gradient = tensor.grad if self.leaf else None
        self.numbers = None if self.gradient is None else self.gradient.clone()

    def same(self) -> bool:
        t = self.tensor
        if type(t) is not self.kind or t.requires_grad != self.requires_grad:
            return False
        if t.is_leaf != self.leaf or (self.leaf and t.grad is not self.gradient):
            return False
        if self.gradient is not None and not same_bits(self.gradient, self.numbers):
            return False
        return memory_of(data_of(t)) == memory_of(self.data)

    def put_back(self) -> None:
        t: Any = self.tensor
        if memory_of(data_of(t)) != memory_of(self.data):
            t.data = self.data
        if isinstance(t, UninitializedTensorMixin):
            return
        if self.leaf:
            t.detach_()
            t.requires_grad_(self.requires_grad)
            t.grad = self.gradient
        if self.gradient is not None and self.numbers is not None:
            with torch.no_grad():
                self.gradient.copy_(self.numbers)
        if type(t) is not self.kind:
            t.__class__ = self.kind


class _Memory:
    """The bytes of a storage, which several tensors may share; kept on the CPU."""

    def __init__(self, storage: torch.UntypedStorage) -> None:
        self.bytes = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
        self.copy = self.bytes.to("cpu", copy=True)

    def same(self) -> bool:
        return torch.equal(self.bytes.cpu(), self.copy)

    def put_back(self) -> None:
        self.bytes.copy_(self.copy)


def _identical(now: dict[Any, Any], before: dict[Any, Any]) -> bool:
    """Whether two dicts have the very same members in the same order."""
    return len(now) == len(before) and all(
        key is other and now[key] is before[other] for key, other in zip(now, before, strict=True)
    )
