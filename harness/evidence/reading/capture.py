"""A network at one size as a graph of ATen operators, with the place in its source of each."""

import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx
from torch.overrides import TorchFunctionMode

from equibench.errors import ModelError

__all__ = ["Captured", "Origin", "Region", "capture"]

_LIBRARY = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)


@dataclass(frozen=True)
class Origin:
    """Where an operator stands: the module that was running, and the line that called PyTorch."""

    module: str
    file: str
    line: int

    @property
    def shown(self) -> str:
        """The file as a reader knows it."""
        return _shortened(self.file)

    def __str__(self) -> str:
        where = f"{self.shown}:{self.line}" if self.file else ""
        return ", ".join(part for part in (self.module, where) if part) or "the network itself"


@dataclass(frozen=True)
class Region:
    """The operators that one call of a layer consists of."""

    layer: nn.Module
    nodes: frozenset[fx.Node]


@dataclass(frozen=True)
class Captured:
    """A graph of ATen operators, before they are decomposed."""

    graph: fx.GraphModule
    origins: Mapping[fx.Node, Origin]
    regions: tuple[Region, ...]


def capture(
    model: Callable[[Tensor], Any],
    images: Tensor,
    layers: Callable[[nn.Module], bool] = lambda _: False,
) -> Captured:
    """Pass images that have a shape but no content through a network, and write down operators.

    Nothing is computed; control flow that depends on the images cannot be followed and is an
    error. The network is left as it was.

    Args:
        images: (B, C, H, W), of which only shape, dtype and device count.
        layers: which layers are wanted as a whole, as regions.

    Raises:
        ModelError: the network cannot be captured, returns no single tensor, or does not do the
            same at every call: it draws from Python's or NumPy's generator, or keeps state.
    """
    modules = list(model.named_modules()) if isinstance(model, nn.Module) else []
    with _kept(modules) as changed:
        generators = _generators()
        found = _traced(model, modules, images, layers)
        if _generators() != generators:
            raise ModelError("draws from a random generator of Python or NumPy")
        if first := changed():
            again = _traced(model, modules, images, layers)
            if (second := changed()) != first or again.graph.code != found.graph.code:
                names = sorted(set(first) | set(second))
                raise ModelError(f"keeps state from one pass to the next, in {names[0]}")
    return found


def _traced(
    model: Callable[[Tensor], Any],
    modules: list[tuple[str, nn.Module]],
    images: Tensor,
    layers: Callable[[nn.Module], bool],
) -> Captured:
    notes = _Notes()
    names = {module: name for name, module in modules}

    def forward(x: Tensor) -> Any:
        notes.graph = get_proxy_mode().tracer.graph  # type: ignore[union-attr]
        with notes:
            return model(x)

    handles = []
    for module, name in names.items():
        enter, leave = notes.hooks(name, module if layers(module) else None)
        handles += [
            module.register_forward_pre_hook(enter),
            module.register_forward_hook(leave, always_call=True),
        ]
    trace = make_fx(forward, tracing_mode="fake", pre_dispatch=True, _allow_non_fake_inputs=True)
    try:
        with torch.no_grad(), _quiet():
            graph = trace(images)
    except Exception as error:
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        at = f" at {notes.last}" if notes.last else ""
        raise ModelError(f"{type(error).__name__}{at}: {reason}") from error
    finally:
        for handle in handles:
            handle.remove()
    nodes = list(graph.graph.nodes)
    origins = dict(zip(nodes, notes.origins(len(nodes)), strict=True))
    regions = tuple(Region(m, frozenset(nodes[a:b])) for m, a, b in notes.regions)
    return Captured(graph, origins, regions)


@contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch logs the traceback of what it then raises."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Notes(TorchFunctionMode):
    """Which part of a graph came from which line and which module, written down as it grows."""

    def __init__(self) -> None:
        super().__init__()
        self.graph: fx.Graph | None = None
        self.stack: list[tuple[str, int]] = []
        self.spans: list[tuple[int, int, Origin]] = []
        self.regions: list[tuple[nn.Module, int, int]] = []
        self.last: Origin | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert self.graph is not None
        begin = len(self.graph.nodes)
        origin = Origin(self.stack[-1][0] if self.stack else "", *_line())
        self.last = origin
        result = func(*args, **(kwargs or {}))
        end = len(self.graph.nodes)
        if end > begin:
            self.spans.append((begin, end, origin))
        return result

    def hooks(self, name: str, region: nn.Module | None) -> tuple[Any, Any]:
        def enter(*_: object) -> None:
            self.stack.append((name, self._count()))

        def leave(*_: object) -> None:
            if self.stack:
                begin = self.stack.pop()[1]
                if region is not None:
                    self.regions.append((region, begin, self._count()))

        return enter, leave

    def origins(self, count: int) -> Iterator[Origin]:
        found = [Origin("", "", 0)] * count
        for begin, end, origin in self.spans:
            found[begin:end] = [origin] * (end - begin)
        return iter(found)

    def _count(self) -> int:
        return 0 if self.graph is None else len(self.graph.nodes)


def _line() -> tuple[str, int]:
    """The innermost line on the stack that is neither PyTorch's nor written here."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_LIBRARY, _HERE, "<")):
            return file, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return "", 0


def _shortened(file: str) -> str:
    """A path as a reader knows it: from site-packages or from where they are."""
    if not file:
        return ""
    path = Path(file)
    for base in (*(Path(p) for p in sys.path if p.endswith("site-packages")), Path.cwd()):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return file


def _generators() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), name, np.asarray(keys).tobytes(), *rest


@contextmanager
def _kept(modules: list[tuple[str, nn.Module]]) -> Iterator[Callable[[], dict[str, str]]]:
    """Attributes of modules are put back in the end; yields what tells which have changed."""
    before = [(m, {k: (v, _copy(v)) for k, v in vars(m).items()}) for _, m in modules]
    buffers = [(b, b.detach().clone()) for _, m in modules for b in m.buffers(recurse=False)]
    known = {(n, k): _shown(v) for n, m in modules for k, v in vars(m).items()}

    def changed() -> dict[str, str]:
        now = {(n, k): _shown(v) for n, m in modules for k, v in vars(m).items()}
        keys = [key for key in {**known, **now} if known.get(key) != now.get(key)]
        values = {f"{n}.{k}" if n else k: str(now.get((n, k))) for n, k in keys}
        return values

    try:
        yield changed
    finally:
        for buffer, kept in buffers:  # what is no image is computed as the network is captured
            buffer.detach().copy_(kept)
        for module, attributes in before:
            vars(module).clear()
            for name, (value, copy) in attributes.items():
                if type(value) is dict:
                    value.clear()
                    value.update(copy)
                elif type(value) is list:
                    value[:] = copy
                vars(module)[name] = value


def _copy(value: object) -> Any:
    return type(value)(value) if type(value) in (dict, list) else value  # type: ignore[call-arg]


def _shown(value: object) -> object:
    """What two passes are compared by: plain values by value, tensors and others by type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return type(value).__name__, len(value), *map(_shown, value)
    if isinstance(value, dict):
        return len(value), *((str(k), _shown(v)) for k, v in value.items())
    if isinstance(value, Tensor):
        return tuple(value.shape), str(value.dtype)
    return type(value).__name__
