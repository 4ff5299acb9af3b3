"""Numerical precision and device, set for the time of an evaluation and restored after it."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from equibench.errors import ModelError, UsageError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.inference.model_outputs import Wrapper, frame_of
from equibench.inference.random_generators import generators
from equibench.state.model_state import ModelState, data_of, modules_of, tensors_of
from equibench.state.process_state import process_kept, seed_everything

__all__ = [
    "Placed",
    "Precision",
    "current_precision",
    "label_of",
    "numerics",
    "placed",
    "resolve_device",
    "told",
]

T = TypeVar("T")

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


def label_of(model: object) -> str:
    """What rows and messages call a model that has no other name; one line."""
    name = told(model, "__name__", type(model).__name__)
    return " ".join(name.split())


def told(model: object, name: str, otherwise: T) -> T:
    """What a model says of itself in an attribute; anything of another type is not meant for us."""
    try:
        value = getattr(model, name, otherwise)
    except Exception:  # a property of its own
        return otherwise
    return value if isinstance(value, type(otherwise)) else otherwise


@contextmanager
def placed(
    model: Callable[[Tensor], Tensor], device: torch.device, precision: Precision
) -> Iterator["Placed"]:
    """A model on its device, in ``eval()`` mode and in the precision that is named.

    ``fp64`` casts the parameters, ``bf16`` and ``fp16`` use autocast. Yields a callable from and
    to float tensors (B, C, H, W) on the device; on leaving, all that the model holds is as it was.

    Raises:
        ModelError: the model cannot be put there.
    """
    if precision not in get_args(Precision):
        raise UsageError(f"no precision is called {precision!r}: {', '.join(get_args(Precision))}")
    label = label_of(model)
    with guarded(lambda error: f"{label} cannot be looked through: {kind_and_reason(error)}"):
        before = ModelState(model)
    forward = Placed(model, device, precision, before)
    try:
        with guarded(lambda error: f"{label} cannot run on {device}: {kind_and_reason(error)}"):
            forward.move()
        yield forward
    finally:
        with guarded(lambda error: f"{label} is not what it was: {kind_and_reason(error)}"):
            before.put_back()


class Placed(Wrapper):
    """A model in its place.

    Args:
        seed: of random generators, which begin with it anew for every image; images then pass
            one by one, so that what an image gets does not depend on its slot. None lets them go
            on.

    Attributes:
        notes: what the user should know of how it is run.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        device: torch.device,
        precision: Precision,
        known: ModelState | None = None,
        seed: int | None = None,
    ) -> None:
        self.model, self.device, self.precision, self.seed = model, device, precision, seed
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        self.notes: list[str] = []
        self._known = known
        self._unborn = bool(_uninitialised(model))

    def of(self, model: nn.Module) -> "Placed":
        """A copy of the model in the same place."""
        return Placed(model, self.device, self.precision, self._known, self.seed)

    def seeded(self, seed: int) -> "Placed":
        """The same with generators that begin anew for every image."""
        other = copy(self)
        other.seed = seed
        return other

    @property
    def uninitialised(self) -> bool:
        """Whether it has lazy parameters, which the first images give a shape."""
        return self._unborn

    def state(self) -> ModelState:
        """All that the model holds now."""
        return ModelState(self.model, self._known)

    def move(self) -> None:
        """Put the model on its device, tensor by tensor, in its precision and in ``eval()`` mode.

        Raises:
            ModelError: a tensor has no numbers to move.
        """
        # what functions close over, and plain attributes, have their modes at least
        networks = modules_of(self.model)
        try:
            for network in networks:
                network.eval()
        except Exception as error:
            self.notes.append(f"it is run in the mode it is in: eval() {kind_and_reason(error)}")
        if not isinstance(self.model, nn.Module):
            return
        for network in networks:
            for name, tensor in _registered(network):
                self._move(name, tensor)

    def _move(self, name: str, tensor: Tensor) -> None:
        if tensor.is_meta and self.device.type != "meta":
            raise ModelError(
                f"{label_of(self.model)}: {name} is on the meta device, without numbers: load its "
                "weights, or build it on a real device"
            )
        data = data_of(tensor)
        casts = self.precision == "fp64" and data.is_floating_point()
        dtype = self.dtype if casts else data.dtype
        if (data.device, data.dtype) != (self.device, dtype):
            tensor.data = data.to(self.device, dtype)

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
        with (
            # not inference mode: what a network keeps, it must be able to train with later
            torch.no_grad(),
            self._autocast(),
            self._birth(),
        ):
            # it may work in place, and the images are not its own
            output: Tensor = self.model(images.to(self.dtype, copy=True))
        return output

    def _autocast(self) -> AbstractContextManager[Any]:
        kind = self.device.type
        if not torch.amp.is_autocast_available(kind):
            return nullcontext()
        casts = self.precision in _AUTOCAST
        return torch.autocast(kind, _AUTOCAST.get(self.precision), casts)

    @contextmanager
    def _birth(self) -> Iterator[None]:
        """Let lazy parameters always begin alike."""
        if not self._unborn:
            yield
            return
        with process_kept():
            seed_everything("lazy parameters")
            yield
        self._unborn = bool(_uninitialised(self.model))


def _registered(network: nn.Module) -> list[tuple[str, Tensor]]:
    """A module's own parameters and buffers."""
    if isinstance(network, ScriptModule):
        members = (network.named_parameters(recurse=False), network.named_buffers(recurse=False))
        return [pair for each in members for pair in each]
    own = vars(network)
    pairs = [*own["_parameters"].items(), *own["_buffers"].items()]
    return [(name, tensor) for name, tensor in pairs if tensor is not None]


def _uninitialised(model: object) -> list[Tensor]:
    return [t for t in tensors_of(model) if isinstance(t, UninitializedTensorMixin)]


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
