"""A network whose convolutions, pooling, padding and interpolation are carried out otherwise.

While it runs, PyTorch hands every call of those functions to a ``TorchFunctionMode``, whatever
class of layer or line of code made it. Modules and weights stay as they are.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from equibench.errors import ModelError
from equibench.inference.adapters import further_inputs
from equibench.inference.model_outputs import Wrapper
from equibench.inference.placement import label_of
from equibench.mending.periods import probe_of, size_of
from equibench.mending.positions import traced
from equibench.mending.rewriting.functions import HANDLERS
from equibench.mending.rewriting.plans import Change, Notes, Plan
from equibench.mending.rewriting.resampling import Resampling

__all__ = ["Rewritten", "survey"]


class Rewritten(nn.Module, Wrapper):
    """A network under a plan: takes and returns what the network does.

    Args:
        network: in Python; TorchScript and other compiled code calls no function that is seen.
        plan: what is carried out otherwise.

    Raises:
        ModelError: a network that cannot be seen into, or, from ``forward``, a size that a stride
            does not divide, or that an adaptive plan does not make exact.
    """

    changes_no_output = ("verified",)
    """Attributes that a measurement need not put back."""

    def __init__(self, network: Callable[..., Any], plan: Plan) -> None:
        super().__init__()
        modules = list(network.modules()) if isinstance(network, nn.Module) else []
        if any(isinstance(module, ScriptModule) for module in modules):
            raise ModelError(
                f"{type(network).__name__}: the layers of TorchScript cannot be changed; treat the "
                "network that was scripted, or take mend=canonical, which leaves layers alone"
            )
        self.model, self.plan = network, plan
        self.label = label_of(network)
        self.verified: dict[object, bool] = {}
        self.thread_safe = isinstance(network, nn.Module)
        names = further_inputs(network)
        if names is not None:
            self.input_names = names

    def also(self, **changes: Any) -> "Rewritten":
        """The same network under a plan that asks for more."""
        return Rewritten(self.model, replace(self.plan, **changes))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        if self.plan.adaptive:
            self._verify(*inputs, **named)
        return self.run(Notes(), *inputs, **named)

    def _verify(self, *inputs: Any, **named: Any) -> None:
        """That all shifts commute, tried once for every size of images.

        Raises:
            ModelError: they do not; the message names what was not changed.
        """
        images = inputs[0]
        if traced() or size_of(images) in self.verified:
            return
        run = partial(self.run, Notes())
        found = probe_of(run, self.label, images, *inputs[1:], **named)
        if found.stride != (1, 1):
            left = [c for c in survey(self, *inputs, **named) if not c.done]
            reason = (
                f"not changed: {', '.join(map(str, left[:3]))}" if left
                else "something between its layers"
                if self.plan.circular
                else "its padding perhaps: mend=circular+aps"
            )  # fmt: skip
            at = "×".join(map(str, images.shape[-2:]))
            raise ModelError(
                f"mend=aps cannot make {self.label} exact at {at} (NMSE {found.deviation:.2g} at "
                f"shift {found.at}): {reason}"
            )
        self.verified[size_of(images)] = True

    def run(self, notes: Notes, *inputs: Any, **named: Any) -> Any:
        """A forward pass of which is noted what has been changed."""
        with _Functions(Resampling(self.plan, _image(inputs, named), notes)):
            return self.model(*inputs, **named)


def survey(network: Rewritten, *inputs: Any, **named: Any) -> list[Change]:
    """What a plan changes in one forward pass, each layer and kind of change once."""
    running: list[str] = []
    notes = Notes(lambda: running[-1] if running else "")
    with _followed(network.model, running), torch.no_grad():
        network.run(notes, *inputs, **named)
    return list(dict.fromkeys(notes.changes))


@contextmanager
def _followed(network: object, running: list[str]) -> Iterator[None]:
    """Keep the paths of the modules that are running, the innermost last."""
    modules = network.named_modules() if isinstance(network, nn.Module) else ()
    handles = []
    for name, module in modules:
        handles.append(module.register_forward_pre_hook(lambda *_, n=name: running.append(n)))
        handles.append(
            module.register_forward_hook(lambda *_: _nothing(running.pop()), always_call=True)
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _nothing(_: object) -> None:
    """Hooks that return something replace what the module returned."""


def _image(inputs: Any, named: Any) -> Tensor | None:
    maps = (leaf for leaf in tree_leaves((inputs, named)) if isinstance(leaf, Tensor))
    return next((leaf for leaf in maps if leaf.ndim >= 3), None)


class _Functions(TorchFunctionMode):
    """Hands calls of functions to what carries them out."""

    def __init__(self, resampling: Resampling) -> None:
        super().__init__()
        self.resampling = resampling

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        handler = HANDLERS.get(func)
        if handler is None:
            return func(*args, **(kwargs or {}))
        return handler(self.resampling, func, *args, **(kwargs or {}))
