"""A model on its device and in its precision for the time of an evaluation, and back after it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from equibench.errors import ModelError, UsageError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.inference.model_outputs import Wrapper, frame_of
from equibench.inference.precision import AUTOCAST, Precision
from equibench.inference.random_generators import generators
from equibench.state.model_state import ModelState, modules_of, tensors_of
from equibench.state.process_state import process_kept, seed_everything
from equibench.state.tensor_memory import data_of

__all__ = ["Placed", "label_of", "placed", "told"]

T = TypeVar("T")


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
        casts = self.precision in AUTOCAST
        return torch.autocast(kind, AUTOCAST.get(self.precision), casts)

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
