"""Numerical precision and device, set for the time of an evaluation and restored after it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from equibench.errors import UsageError
from equibench.inference.model_outputs import Wrapper, frame_of
from equibench.inference.random_generators import generators

__all__ = ["Placed", "Precision", "current_precision", "numerics", "placed", "resolve_device"]

Precision = Literal["fp32", "fp64", "tf32", "bf16", "fp16"]

_AUTOCAST: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
            f"{source}device {name!r} is not here ({count} CUDA devices): take {remedy}"
        )
    return torch.device("cuda", int(number or 0))


def current_precision(images: Tensor) -> Precision:
    """The precision that ``placed`` and ``numerics`` have set for what images are given to."""
    if images.dtype == torch.float64:
        return "fp64"
    if torch.is_autocast_enabled(images.device.type):
        kind = torch.get_autocast_dtype(images.device.type)
        return next(name for name, dtype in _AUTOCAST.items() if dtype == kind)
    backends: Any = torch.backends
    return "tf32" if backends.cuda.matmul.fp32_precision == "tf32" else "fp32"


@contextmanager
def placed(
    model: Callable[[Tensor], Tensor], device: torch.device, precision: Precision
) -> Iterator["Placed"]:
    """A model on its device, in ``eval()`` mode and in the precision that is named.

    ``fp64`` casts the parameters, ``bf16`` and ``fp16`` use autocast. Yields a callable from and
    to float tensors (B, C, H, W) on the device; on leaving, modes, dtypes and device are as they
    were.
    """
    if precision not in get_args(Precision):
        raise UsageError(f"no precision is called {precision!r}: {', '.join(get_args(Precision))}")
    forward = Placed(model, device, precision)
    if not isinstance(model, nn.Module):
        yield forward
        return
    with _moved(model, device, forward.dtype if precision == "fp64" else None):
        yield forward


class Placed(Wrapper):
    """A model in its place.

    Args:
        seed: of random generators, which begin with it anew for every image; images then pass
            one by one, so that what an image gets does not depend on its slot. None lets them go
            on.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        device: torch.device,
        precision: Precision,
        seed: int | None = None,
    ) -> None:
        self.model, self.device, self.precision, self.seed = model, device, precision, seed
        self.dtype = torch.float64 if precision == "fp64" else torch.float32

    def of(self, model: nn.Module) -> "Placed":
        """A copy of the model in the same place."""
        return Placed(model, self.device, self.precision, self.seed)

    def seeded(self, seed: int) -> "Placed":
        """The same with generators that begin anew for every image."""
        return Placed(self.model, self.device, self.precision, seed)

    def __call__(self, images: Tensor) -> Tensor:
        if self.seed is None:
            return self._pass(images)
        frame, outputs, added, unmoved = frame_of(self.model), [], [], []
        for image in images:
            with generators(self.device, self.seed):
                outputs.append(self._pass(image[None]))
            added.append(frame.added)
            unmoved.append(frame.unmoved)
        if frame.unmoved is not None:
            frame.added = torch.cat([a for a in added if a is not None])
            frame.unmoved = torch.cat([u for u in unmoved if u is not None])
        return torch.cat(outputs)

    def _pass(self, images: Tensor) -> Tensor:
        casts = self.precision in _AUTOCAST
        with torch.autocast(self.device.type, _AUTOCAST.get(self.precision), casts):
            output: Tensor = self.model(images.to(self.dtype))
        return output


@contextmanager
def numerics(precision: Precision) -> Iterator[None]:
    """Inference mode, and float32 that means IEEE float32 unless ``tf32`` is asked for.

    PyTorch's default on GPUs is TF32 in convolutions. These settings belong to the whole process:
    hold them no longer than a measurement takes.
    """
    dtype = torch.get_default_dtype()
    try:
        with _float32("tf32" if precision == "tf32" else "ieee"), torch.inference_mode():
            yield
    finally:
        torch.set_default_dtype(dtype)  # a model may have changed it under the next one


@contextmanager
def _moved(module: nn.Module, device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Modes, places and dtypes are noted tensor by tensor: a model may mix them."""
    modes = {m: m.training for m in module.modules()}
    tensors = [*module.parameters(), *module.buffers()]
    before = [(t, t.device, t.dtype) for t in tensors]
    try:
        module.eval()
        for tensor in tensors:
            target = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
            tensor.data = tensor.data.to(device, target)
        yield
    finally:
        for tensor, place, kind in before:
            tensor.data = tensor.data.to(place, kind)
        for each, training in modes.items():
            each.training = training


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
