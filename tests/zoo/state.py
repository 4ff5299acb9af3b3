"""All that a model and its process hold, as one value to compare: written apart from the engine."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["process_state", "state"]


def state(model: Any) -> dict[str, Any]:
    """Every module and tensor under a model, by where it is found."""
    found: dict[str, Any] = {}
    _look(model, "model", found, set())
    return found


def process_state() -> dict[str, Any]:
    """Random states, switches and modes of this process."""
    b: Any = torch.backends
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": [
            part.tobytes() if isinstance(part, np.ndarray) else part
            for part in np.random.get_state()  # noqa: NPY002
        ],
        "random": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (b.cudnn.benchmark, b.cudnn.deterministic, b.cudnn.allow_tf32),
        "precision": [
            owner.fp32_precision
            for owner in (b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn, b.mkldnn.matmul, b.mkldnn.conv)
        ],
        "errors": np.geterr(),
    }


def _look(value: Any, place: str, found: dict[str, Any], seen: set[int]) -> None:
    if isinstance(value, Tensor):
        found[place] = _tensor(value)
        return
    if isinstance(value, torch.Generator):
        found[place] = value.get_state().tolist()
        return
    if isinstance(value, np.random.Generator):
        found[place] = str(value.bit_generator.state)
        return
    if isinstance(value, dict | list | tuple | set | nn.Module):
        if id(value) in seen:
            return
        seen.add(id(value))
    if isinstance(value, nn.Module):
        found[place] = type(value).__qualname__, list(vars(value))
        for name, member in list(vars(value).items()):
            _look(member, f"{place}.{name}", found, seen)
    elif isinstance(value, dict):
        found[place] = list(map(repr, value))
        for key, member in value.items():
            _look(member, f"{place}[{key!r}]", found, seen)
    elif isinstance(value, list | tuple | set):
        found[place] = len(value)
        for number, member in enumerate(value):
            _look(member, f"{place}[{number}]", found, seen)
    else:
        for number, cell in enumerate(getattr(value, "__closure__", None) or ()):
            if isinstance(cell.cell_contents, nn.Module | dict):
                _look(cell.cell_contents, f"{place}({number})", found, seen)
        if isinstance(getattr(value, "func", None), object) and hasattr(value, "args"):
            _look(value.args, f"{place}.args", found, seen)
        if isinstance(value, torch.optim.Optimizer):
            _look(value.state, f"{place}.state", found, seen)
        found[place] = value if isinstance(value, int | float | str) else id(value)


def _tensor(tensor: Tensor) -> tuple[Any, ...]:
    if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
        return type(tensor), id(tensor), tensor.requires_grad
    kind = type(tensor), id(tensor), tensor.requires_grad, tensor.is_inference(), tensor.dtype
    gradient = _tensor(tensor.grad) if tensor.is_leaf and tensor.grad is not None else None
    where = tensor.device, tensor.shape, tensor.layout, gradient
    if tensor.is_meta or tensor.numel() > 2**30:
        return *kind, *where
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    if dense.is_quantized:
        dense = dense.int_repr()
    memory = dense.stride(), tensor.data_ptr() if tensor.layout == torch.strided else None
    return *kind, *where, memory, dense.contiguous().flatten().view(torch.uint8).numpy().tobytes()
