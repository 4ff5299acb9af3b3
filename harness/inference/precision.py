"""Device and numerical precision: which there are, and what float32 means meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from equibench.errors import UsageError
from equibench.state.process_state import process_kept

__all__ = ["AUTOCAST", "Precision", "current_precision", "numerics", "onto", "resolve_device"]

Precision = Literal["fp32", "fp64", "tf32", "bf16", "fp16"]

AUTOCAST: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The precisions in which PyTorch chooses what an operator computes in."""


def resolve_device(name: str, *, elsewhere: bool = False) -> torch.device:
    """``auto`` takes ``EQUIBENCH_DEVICE`` where that is set, else the GPU where there is one.

    Args:
        elsewhere: the device belongs to workers of a cluster, and need not be here.

    Raises:
        UsageError: the device does not exist here.
    """
    source, remedy = "", "--device cpu"
    if name == "auto":
        name = os.environ.get("EQUIBENCH_DEVICE") or "auto"
        source, remedy = "EQUIBENCH_DEVICE: ", "cpu, or unset it"
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, colon, number = name.partition(":")
    if kind == "cpu" and not colon:
        return torch.device("cpu")
    if kind != "cuda" or (colon and not number.isdecimal()):
        raise UsageError(f"{source}no device is called {name!r}: take auto, cpu, cuda or cuda:1")
    count = torch.cuda.device_count()
    if not elsewhere and int(number or 0) >= count:
        raise UsageError(
            f"{source}device {name!r} is not here ({count} CUDA devices): take {remedy}",
            topic="no-such-device",
        )
    return torch.device("cuda", int(number or 0))


def onto(host: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; nobody waits until it is there.

    It goes to a GPU from pinned memory: a copy from elsewhere would wait for all that the GPU has
    still to do.
    """
    if device.type == "cuda" and not host.is_pinned():
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


def current_precision(images: Tensor) -> Precision:
    """The precision that ``placed`` and ``numerics`` have set for what images are given to."""
    if images.dtype == torch.float64:
        return "fp64"
    if torch.is_autocast_enabled(images.device.type):
        kind = torch.get_autocast_dtype(images.device.type)
        return next(name for name, dtype in AUTOCAST.items() if dtype == kind)
    backends: Any = torch.backends
    return "tf32" if backends.cuda.matmul.fp32_precision == "tf32" else "fp32"


@contextmanager
def numerics(precision: Precision) -> Iterator[None]:
    """No gradients, and float32 that means IEEE float32 unless ``tf32`` is asked for.

    PyTorch's default on GPUs is TF32 in convolutions. These settings belong to the whole process:
    hold them no longer than a measurement takes. Whatever a model sets meanwhile is put back.
    """
    with (
        process_kept(),
        _float32("tf32" if precision == "tf32" else "ieee"),
        torch.no_grad(),
    ):
        yield


@contextmanager
def _float32(mode: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Set what float32 means to every backend, then put back what was there.

    PyTorch has an old and a new set of switches, and reading the old ones fails where the two
    disagree: both are set, the old ones first.
    """
    b: Any = torch.backends
    switches = [b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn]
    switches += [b.mkldnn.matmul, b.mkldnn.conv, b.mkldnn.rnn]
    before = [switch.fp32_precision for switch in switches]
    legacy = [(owner, _legacy(owner)) for owner in (b.cuda.matmul, b.cudnn)]
    deterministic, benchmark = b.cudnn.deterministic, b.cudnn.benchmark
    try:
        for owner, _ in legacy:
            owner.allow_tf32 = mode == "tf32"
        for switch in switches:
            # on CPUs there is no TF32 to be had
            switch.fp32_precision = mode if switch in switches[:3] else "ieee"
        b.cudnn.deterministic, b.cudnn.benchmark = True, False
        yield
    finally:
        for owner, value in legacy:
            if value is not None:
                owner.allow_tf32 = value
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = "none"  # inherit, if that is what gave the value
            if switch.fp32_precision != precision:
                switch.fp32_precision = precision
        b.cudnn.deterministic, b.cudnn.benchmark = deterministic, benchmark


def _legacy(owner: Any) -> bool | None:
    """An old switch; None where the user has already mixed old and new ones."""
    try:
        return bool(owner.allow_tf32)
    except RuntimeError:
        return None
