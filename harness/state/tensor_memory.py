"""Tensors beside the numbers in them: where and how they lie in memory, and their bits."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

__all__ = ["bytes_of", "data_of", "memory_of", "parts_of", "same_bits"]


def data_of(tensor: Tensor) -> Tensor:
    """A tensor of the same memory, of parameters without a shape as well."""
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.data


def parts_of(tensor: Tensor) -> list[Tensor]:
    """The dense tensors that a tensor is made of; none where it has no memory to look at."""
    if isinstance(tensor, UninitializedTensorMixin) or tensor.is_meta:
        return []
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    if tensor.layout == torch.strided and not tensor.is_nested:
        return [tensor]
    return []


def memory_of(tensor: Tensor) -> tuple[Any, ...]:
    """Where and how a tensor lies in memory."""
    if tensor.layout != torch.strided:
        parts = tuple(map(memory_of, parts_of(tensor)))
        return tensor.layout, tensor.shape, tensor.dtype, tensor.device, parts
    pointer = 0 if tensor.is_meta else tensor.data_ptr()
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, pointer


def bytes_of(tensor: Tensor) -> Iterator[memoryview | bytes]:
    """What tells a tensor from others: the bytes of its numbers in their order.

    Where it is larger than its memory they are those of the memory, and where there are none its
    shape stands for them.
    """
    unborn = isinstance(tensor, UninitializedTensorMixin)
    parts = parts_of(tensor)
    if unborn or not parts or tensor.layout != torch.strided:
        yield repr((tensor.layout, "lazy" if unborn else tuple(tensor.shape))).encode()
    for part in map(Tensor.detach, parts):
        storage = part.untyped_storage()
        if part.is_quantized or part.numel() * part.element_size() > storage.nbytes():
            yield repr((str(part.dtype), tuple(part.shape), part.stride())).encode()
            part = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
        yield part.cpu().contiguous().flatten().view(torch.uint8).numpy().data


def same_bits(first: object, second: object) -> bool:
    """Whether two tensors have the same dtype, shape and bits, NaN included."""
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return False
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return all(
        torch.equal(*(part.contiguous().flatten().view(torch.uint8) for part in pair))
        for pair in zip(parts_of(first), parts_of(second), strict=True)
    )
