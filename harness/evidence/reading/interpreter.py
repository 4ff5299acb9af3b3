"""Abstract interpretation of a captured graph: what moves, operator by operator."""

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor

import equibench.evidence.reading.rules.indexing
import equibench.evidence.reading.rules.mixing
import equibench.evidence.reading.rules.resampling
import equibench.evidence.reading.rules.reshaping
import equibench.evidence.reading.rules.sliding  # noqa: F401 - they register their rules
from equibench.evidence.reading.capture import Captured, Region
from equibench.evidence.reading.motion.context import Context
from equibench.evidence.reading.motion.factors import (
    Axis,
    Blame,
    Breaks,
    Images,
    Lattice,
    Lost,
    Moving,
    Still,
    Value,
)
from equibench.evidence.reading.motion.graph_nodes import (
    flat,
    is_real,
    operator_name,
    same_memory,
    same_view,
    shapes,
)
from equibench.evidence.reading.motion.outputs import check_output
from equibench.evidence.reading.motion.products import normal
from equibench.evidence.reading.motion.writes import unviewed
from equibench.evidence.reading.rules.adaptive import adaptive_rule
from equibench.evidence.reading.rules.pointwise import elementwise
from equibench.evidence.reading.rules.table import RULES

__all__ = ["Refused", "Run", "Step", "interpreted"]

_OVERWRITES = {"copy", "fill", "zero"}
_UNWRITTEN = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}
_DECISIONS = {
    *("argmax", "argmin", "topk", "sort", "eq", "ne", "gt", "lt", "ge", "le", "floor", "ceil"),
    *("round", "trunc", "frac", "sign", "floor_divide", "remainder", "fmod", "isclose", "sgn"),
    *("heaviside", "bucketize", "searchsorted", "greater", "less"),
}
"""Operators that rounding can take from one value to quite another."""
_CASTS = {"to", "_to_copy"}


class Refused(Exception):
    """The network is no function of its input alone."""

    def __init__(self, blame: Blame) -> None:
        super().__init__(blame.reason)
        self.blame = blame


@dataclass(frozen=True)
class Step:
    """An operator that depends on the input, and how what it gives moves."""

    node: fx.Node
    operator: str
    value: Value
    lattice: Mapping[Axis, int]


@dataclass
class Run:
    """One interpretation.

    Args:
        axes: of the input that move in it, by position (of images 0 is y, 1 is x).
        conditions: what must hold besides, as phrases.
        decisions: operators where rounding can decide.
        asked: by an operator, multiples of what it needs the input to move by.
    """

    axes: Mapping[int, Axis]
    lattice: Lattice = field(default_factory=Lattice)
    output: Value | Lost | None = None
    steps: list[Step] = field(default_factory=list)
    conditions: dict[str, None] = field(default_factory=dict)
    decisions: list[fx.Node] = field(default_factory=list)
    asked: dict[fx.Node, Mapping[Axis, int]] = field(default_factory=dict)


def interpreted(captured: Captured, moving: Sequence[int], any_shift: bool) -> Run:
    """Follow what moves through a network.

    Args:
        moving: which axes of the input move, of images 0 (y) and 1 (x); along others the input
            stands still, so that nothing is claimed of their shifts.
        any_shift: of adaptive layers, claim any shift on the condition that nothing ties.

    Raises:
        Refused: an operator is random, or changes what the network keeps.
    """
    return _Interpreter(captured, moving, any_shift).run()


class _Interpreter:
    def __init__(self, captured: Captured, moving: Sequence[int], any_shift: bool) -> None:
        self.captured, self.any_shift = captured, any_shift
        graph = captured.graph.graph
        self.nodes: list[fx.Node] = list(graph.nodes)
        self.order = {node: i for i, node in enumerate(self.nodes)}
        (image,) = [n for n in self.nodes if n.op == "placeholder"]
        sizes = image.meta["val"].shape[2:]
        names = "zyx"[-len(sizes) :]
        self.found = Run({i: Axis(names[i], sizes[i]) for i in moving})
        self.axes = len(sizes)
        self.values: dict[fx.Node, Any] = {}
        self.kept: set[int] = set()  # memory of what the network keeps from pass to pass
        self.sharing: dict[int, list[fx.Node]] = defaultdict(list)
        self.region_of = {n: r for r in captured.regions for n in r.nodes}

    def run(self) -> Run:
        done: set[int] = set()
        for node in self.nodes:
            region = self.region_of.get(node)
            if region is not None and adaptive_rule(region.layer) is not None:
                if id(region) not in done:
                    done.add(id(region))
                    self._region(region)
                continue
            if node.op == "output":
                self.found.output = self._output(node)
                continue
            self.found.lattice.asked = {}
            self.values[node] = value = self._node(node)
            self.found.asked[node] = self.found.lattice.asked
            if isinstance(meta := node.meta.get("val"), Tensor):
                self.sharing[meta.untyped_storage()._cdata].append(node)
            if isinstance(value, Value) and node.op == "call_function":
                name = str(node.target).removeprefix("aten.")
                self._step(node, name, value)
        return self.found

    def _step(self, node: fx.Node, name: str, value: Value) -> None:
        self.found.steps.append(Step(node, name, value, dict(self.found.lattice.strides)))

    def _node(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._image(node)
        if node.op == "get_attr":
            value = self.captured.graph
            for part in str(node.target).split("."):
                value = getattr(value, part)
            if isinstance(value, FakeTensor) or not isinstance(value, Tensor):
                return Lost(Blame(node, "reads what is no tensor"))
            self.kept.add(value.untyped_storage()._cdata)
            return value.detach()
        if node.target is operator.getitem:
            whole, index = node.args
            value = self.values[whole]  # type: ignore[index]
            return value if isinstance(value, Lost) else value[index]
        if not isinstance(node.target, OpOverload):
            if node.target is torch._C._set_grad_enabled:
                return None
            return Lost(Blame(node, f"calls {node.target}, which is no operator of ATen"))
        return self._operator(node, node.target)

    def _image(self, node: fx.Node) -> Value:
        batch, channels, *size = node.meta["val"].shape
        dims = [normal([Images(batch)]), normal([Still(channels)])]
        for i, n in enumerate(size):
            axis = self.found.axes.get(i)
            dims.append(normal([Still(n)]) if axis is None else (Moving(axis, Fraction(1), n, n),))
        return Value(tuple(dims))

    def _operator(self, node: fx.Node, target: OpOverload) -> Any:
        name = operator_name(target)
        arguments = self._bound(node, target)
        self._refuse(node, target, name, arguments)
        written = self._written(node, target)
        lost = [v for v in flat(arguments.values()) if isinstance(v, Lost)]
        if name in _OVERWRITES and isinstance(arguments.get("self"), Lost):
            lost = [v for v in lost if v is not arguments["self"]]
            arguments["self"] = None
        if lost:
            value: Any = min(lost, key=lambda v: self.order[v.blame.node])
        elif name in _UNWRITTEN:
            value = Lost(Blame(node, "reads memory that was never written"))
        elif not any(isinstance(v, Value) for v in flat(arguments.values())) and (
            name not in _OVERWRITES or arguments.get("self", 0) is not None
        ):
            return self._computed(node, target)
        else:
            value = self._ruled(node, name, arguments)
        if written is not None:
            self._write(node, written, value)
        return value

    def _ruled(self, node: fx.Node, name: str, arguments: dict[str, Any]) -> Any:
        context = Context(node, self.found.lattice, shapes(node))
        tags = node.target.tags  # type: ignore[union-attr]
        function: Callable[..., Any] | None = RULES.get(name)
        try:
            if function is not None:
                value = function(context, **arguments)
            elif torch.Tag.pointwise in tags:
                value = elementwise(context, arguments)
            else:
                raise Breaks("is an operator without a rule")
        except Breaks as breaks:
            return self._lost(node, breaks)
        except Exception as error:
            return Lost(Blame(node, f"does not fit its rule ({type(error).__name__}: {error})"))
        if name in _DECISIONS or (name in _CASTS and not is_real(node)):
            self.found.decisions.append(node)
        if isinstance(value, tuple):
            return tuple(self._part(node, v, s) for v, s in zip(value, context.shapes, strict=True))
        return self._part(node, value, context.shape)

    def _part(self, node: fx.Node, value: Any, shape: tuple[int, ...]) -> Any:
        if isinstance(value, Breaks):
            return self._lost(node, value)
        if isinstance(value, Blame):
            return Lost(value)
        assert isinstance(value, Value), node
        if value.shape != tuple(shape):
            reason = f"gives a shape {tuple(shape)} that its rule does not ({value.shape})"
            return Lost(Blame(node, reason))
        return value

    def _lost(self, node: fx.Node, breaks: Breaks) -> Lost:
        return Lost(breaks.blame or Blame(node, breaks.reason), breaks.axes)

    def _computed(self, node: fx.Node, target: OpOverload) -> Any:
        """What depends on constants only is computed; in-place operators change them."""
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: self.values[n])
        with torch.no_grad():
            return target(*args, **kwargs)

    def _bound(self, node: fx.Node, target: OpOverload) -> dict[str, Any]:
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: self.values[n])
        bound = {}
        for i, argument in enumerate(target._schema.arguments):
            if i < len(args) and not argument.kwarg_only:
                bound[argument.name] = args[i]
            elif argument.name in kwargs:
                bound[argument.name] = kwargs[argument.name]
            elif argument.has_default_value():
                bound[argument.name] = argument.default_value
        return bound

    def _refuse(
        self, node: fx.Node, target: OpOverload, name: str, arguments: Mapping[str, Any]
    ) -> None:
        if torch.Tag.nondeterministic_seeded in target.tags or name in ("bernoulli", "dropout"):
            silent = (
                arguments.get("train") is False
                or arguments.get("training") is False
                or arguments.get("dropout_p") == 0
            )
            if not silent:
                raise Refused(Blame(node, "draws random numbers"))
        if name.endswith("batch_norm") and arguments.get("training") is True:
            raise Refused(Blame(node, "normalises by statistics of the batch and keeps them"))

    def _written(self, node: fx.Node, target: OpOverload) -> fx.Node | None:
        """The node that an operator writes into."""
        for i, argument in enumerate(target._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            into = node.args[i] if i < len(node.args) else node.kwargs.get(argument.name)
            if not isinstance(into, fx.Node):
                continue
            value = self.values[into]
            if isinstance(value, Tensor) and value.untyped_storage()._cdata in self.kept:
                raise Refused(Blame(node, "changes what the network keeps, and so has state"))
            if i > 0:
                raise Refused(Blame(node, "writes into an argument"))
            return into
        return None

    def _write(self, node: fx.Node, into: fx.Node, value: Any) -> None:
        """All that shares its memory changes with what is written into."""
        target = into.meta["val"]
        sharing = self.sharing[target.untyped_storage()._cdata]
        root = sharing[0]
        self.values[into] = value
        try:
            self.values[root] = self._root(node, root, into)
        except Breaks as breaks:
            self.values[root] = self._lost(node, breaks)
        for other in sharing[1:]:
            if same_view(other.meta["val"], target):
                self.values[other] = value
            elif self._writes(other):
                self.values[other] = self.values[other.args[0]]  # type: ignore[index]
            else:
                if other.target is operator.getitem:
                    self.values[other.args[0]] = self._node(other.args[0])  # type: ignore
                self.values[other] = self._node(other)

    def _root(self, node: fx.Node, root: fx.Node, view: fx.Node) -> Any:
        """What the tensor whose memory is shared is, after a view of it has been written."""
        value = self.values[view]
        while view is not root:
            if isinstance(value, Lost):
                return value
            parent = view.args[0] if view.args else None
            if not isinstance(parent, fx.Node) or not isinstance(view.target, OpOverload):
                raise Breaks("changes in place a part of what is used as a whole")
            if not self._writes(view):
                context = Context(node, self.found.lattice, shapes(parent))
                arguments = self._bound(view, view.target)
                old = self.values[parent]
                if isinstance(old, Lost):
                    return old
                value = unviewed(context, operator_name(view.target), arguments, old, value)
                if value.shape != context.shape:
                    raise Breaks("changes in place a part of what is used as a whole")
            view = parent
        return value

    def _writes(self, node: fx.Node) -> bool:
        if not isinstance(node.target, OpOverload):
            return False
        arguments = node.target._schema.arguments
        return bool(arguments) and (
            arguments[0].alias_info is not None and arguments[0].alias_info.is_write
        )

    def _region(self, region: Region) -> None:
        nodes = [n for n in self.nodes if n in region.nodes]
        inputs = dict.fromkeys(a for n in nodes for a in n.all_input_nodes if a not in region.nodes)
        given = [self.values[a] for a in inputs]
        outputs = [n for n in nodes if any(u not in region.nodes for u in n.users)]
        head = next((n for n in nodes if n.op == "call_function"), nodes[0])
        lost = [v for v in given if isinstance(v, Lost)]
        rule = adaptive_rule(region.layer)
        assert rule is not None
        if lost:
            result: Any = min(lost, key=lambda v: self.order[v.blame.node])
        else:
            context = Context(head, self.found.lattice, ())
            try:
                result = rule(context, region.layer, given, self.any_shift)
            except Breaks as breaks:
                result = self._lost(head, breaks)
            self.found.conditions |= dict.fromkeys(context.notes)
        for node in outputs:
            self.values[node] = self._of_region(node, result, inputs)
            if isinstance(self.values[node], Value):
                name = type(region.layer).__name__
                self._step(node, name, self.values[node])
            self.sharing[node.meta["val"].untyped_storage()._cdata].append(node)

    def _of_region(self, node: fx.Node, result: Any, inputs: Iterable[fx.Node]) -> Any:
        for given in inputs:  # a cast that changes nothing gives its operand back
            if same_memory(given.meta["val"], node.meta["val"]):
                return self.values[given]
        shape = tuple(node.meta["val"].shape)
        for value in result if isinstance(result, tuple) else (result,):
            if isinstance(value, Lost):
                return value
            if value.shape == shape and (
                len(shape) > 1 or not node.meta["val"].is_floating_point()
            ):
                return value
        return Lost(Blame(node, "is within an adaptive layer"))

    def _output(self, node: fx.Node) -> Value | Lost:
        (result,) = node.args
        if not isinstance(result, fx.Node):
            return Lost(Blame(node, "returns not one tensor: name the image with out.select=0"))
        value = self.values[result]
        if isinstance(value, Tensor):
            return Lost(Blame(result, "returns what does not depend on the input"))
        if not isinstance(value, Value):
            assert isinstance(value, Lost)
            return value
        try:
            check_output(value, self.found.axes, self.axes)
        except Breaks as breaks:
            return self._lost(result, breaks)
        return value
