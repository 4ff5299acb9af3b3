"""Every call of every layer of a network, seen by forward hooks."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.utils._pytree import tree_map

from equibench.errors import UsageError
from equibench.inference.adapters import Adapted
from equibench.state.object_graph import registered_modules

__all__ = ["LayerCall", "LayerCalls", "hookable", "layers"]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True, eq=False)
class LayerCall:
    """A layer has been called.

    Args:
        number: which call of it in this forward pass, from 1.
        inputs: positional and keyword arguments as they were before the call, where they were
            asked for.
    """

    name: str
    number: int
    layer: nn.Module
    inputs: tuple[Any, Any] | None
    output: Any

    @property
    def key(self) -> tuple[str, int]:
        """The same for the same call in another forward pass."""
        return self.name, self.number


class LayerCalls:
    """Hooks on every layer of a module, which are put on and taken off by ``listening``."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = layers(model)
        self.counts: Counter[str] = Counter()
        self.keep = False
        self.inputs: tuple[Any, Any] | None = None
        self.visit: Callable[[LayerCall], None] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hook the layers, and let go of them."""
        handles = []
        for name, layer in self.layers:
            handles += [
                layer.register_forward_pre_hook(self._before, with_kwargs=True),
                layer.register_forward_hook(self._after(name)),
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def run(
        self,
        forward: Callable[[Tensor], object],
        images: Tensor,
        visit: Callable[[LayerCall], None],
        keep_inputs: bool = False,
    ) -> None:
        """Pass images through a network, and show every call of a layer to ``visit``.

        While it looks at one, it may call layers itself without being shown that.
        """
        self.counts.clear()
        self.visit, self.keep = visit, keep_inputs
        try:
            forward(images)
        finally:
            self.visit = self.inputs = None

    def _before(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        if self.visit is not None and self.keep:
            # the layer may work in place
            self.inputs = tree_map(_copy, (args, kwargs))

    def _after(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(layer: nn.Module, args: Any, output: Any) -> None:
            visit, self.visit = self.visit, None
            if visit is None:
                return
            self.counts[name] += 1
            try:
                visit(LayerCall(name, self.counts[name], layer, self.inputs, output))
            finally:
                self.visit = visit

        return hook


def hookable(model: object) -> nn.Module:
    """A model that has layers that hooks can be put on.

    Raises:
        UsageError: it is no module, adapts none, or holds TorchScript.
    """
    inner = model.network if isinstance(model, Adapted) else model
    if not isinstance(inner, nn.Module) or not isinstance(model, nn.Module):
        raise UsageError(
            f"{type(inner).__name__} has no layers to attribute to: give a torch.nn.Module"
        )
    if any(isinstance(module, ScriptModule) for module in registered_modules(model)):
        raise UsageError(
            "layers of TorchScript cannot be seen: attribute the module that was scripted"
        )
    return model


def layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers of a module with their names, each once.

    A layer is a module without children, or one of PyTorch's own whatever is inside it: a norm
    that a library gave an activation as its child, say.
    """
    found: dict[int, tuple[str, nn.Module]] = {}

    def walk(name: str, module: nn.Module) -> None:
        children = list(module.named_children())
        if children and not _is_pytorch(module):
            for child, inner in children:
                walk(f"{name}.{child}" if name else child, inner)
        else:
            found.setdefault(id(module), (name or type(module).__name__, module))

    walk("", model)
    return list(found.values())


def _is_pytorch(module: nn.Module) -> bool:
    """Whether a module is of a class that PyTorch defines, or of one derived from it."""
    classes = [c for c in type(module).__mro__ if c is not nn.Module and issubclass(c, nn.Module)]
    return not isinstance(module, _CONTAINERS) and any(
        c.__module__.startswith("torch.nn.modules") for c in classes
    )


def _copy(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value
