"""A captured network in stages: the operators between one stride and the next.

A value inside a network that commutes with shifts by multiples of n takes only n forms along an
axis, up to a shift, however often the input moves. Early in a network n is 1, 2 or 4: what is
computed there serves all classes of the total stride, which differ only further on.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import lcm, prod
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import OpOverload

from equibench.evidence.reading.capture import Captured, capture
from equibench.evidence.reading.interpreter import Run, interpreted
from equibench.evidence.reading.motion.factors import Axis, Value
from equibench.evidence.reading.reuse.moved_values import Movable
from equibench.transforms.transform import Size

__all__ = ["Stage", "Staged", "staged"]


@dataclass(frozen=True)
class Stage:
    """What is computed once for each class of shifts on a lattice.

    Args:
        lattice: pixels along each axis, whose multiples move all that is kept.
        nodes: operators, in order.
        given: values of earlier stages that they read, each with the number of its stage; of the
            image itself -1.
        kept: values that later stages read; of the last one the output.
    """

    lattice: Size
    nodes: Sequence[fx.Node]
    given: Mapping[fx.Node, int]
    kept: Sequence[fx.Node]

    @cached_property
    def done_with(self) -> Mapping[fx.Node, Sequence[fx.Node]]:
        """By node, the values that no later one reads."""
        reader = {read: node for node in self.nodes for read in node.all_input_nodes}
        found = defaultdict(list)
        for read, node in reader.items():
            if read not in self.kept:
                found[node].append(read)
        return found


@dataclass(frozen=True)
class Staged:
    """A network for images of one shape (B, C, *size).

    Args:
        shape: of its images.
        image: the node that they are given to.
        stages: from the finest lattice to the output's.
        movable: how what is given and kept moves.
        constants: what does not depend on the images.
    """

    shape: tuple[int, ...]
    image: fx.Node
    stages: Sequence[Stage]
    movable: Mapping[fx.Node, Movable]
    constants: Mapping[fx.Node, Any]

    @property
    def output(self) -> fx.Node:
        (node,) = self.stages[-1].kept
        return node


def staged(model: Callable[[Tensor], Any], images: Tensor) -> Staged | None:
    """Read a network at the shape of images (B, C, *size).

    Returns:
        None where it does not commute with any shifts, has adaptive layers, or reads under an old
        name what it has changed in place.

    Raises:
        ModelError: it cannot be captured.
        Refused: it is no function of its input alone.
    """
    captured = capture(model, images)
    found = _lattices(captured)
    if found is None or captured.regions or _renamed(captured.graph.graph, found[1]):
        return None
    run, lattices = found
    axes = [run.axes[i] for i in sorted(run.axes)]
    batch = images.shape[0]
    motions = ((step.node, Movable.of(step.value, axes, batch)) for step in run.steps)
    movable = {node: motion for node, motion in motions if motion is not None}
    (image,) = (n for n in captured.graph.graph.nodes if n.op == "placeholder")
    movable[image] = Movable(tuple((1 + i, 1) for i in range(len(axes))))
    (output,) = next(n for n in captured.graph.graph.nodes if n.op == "output").args
    if not isinstance(output, fx.Node) or output not in movable:
        return None
    constants = _constants(captured, lattices)
    stages = list(_stages(list(captured.graph.graph.nodes), output, image, lattices, movable))
    return Staged(tuple(images.shape), image, stages, movable, constants)


def _lattices(captured: Captured) -> tuple[Run, dict[fx.Node, Size]] | None:
    """What each value that depends on the image needs it to move by multiples of."""
    (image,) = (n for n in captured.graph.graph.nodes if n.op == "placeholder")
    axes = range(image.meta["val"].ndim - 2)
    run = interpreted(captured, axes, any_shift=False)
    if not isinstance(run.output, Value):
        return None
    found: dict[fx.Node, Size] = {image: (1,) * len(axes)}
    for node in captured.graph.graph.nodes:
        before = [found[read] for read in node.all_input_nodes if read in found]
        if before and node.op != "output":
            asked: Mapping[Axis, int] = run.asked.get(node, {})
            own = tuple(asked.get(run.axes[i], 1) for i in axes)
            found[node] = tuple(lcm(*each) for each in zip(own, *before, strict=True))
    return run, found


def _renamed(graph: fx.Graph, moving: Mapping[fx.Node, Size]) -> bool:
    """Whether what is changed in place is read under an older name, or is the image or constant."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    sharing: dict[int, list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        if not isinstance(value := node.meta.get("val"), Tensor):
            continue
        memory = value.untyped_storage()._cdata
        if node in moving and _writes(node):
            known = sharing[memory]
            if any(other not in moving or other.op == "placeholder" for other in known):
                return True
            if any(order[user] > order[node] for other in known for user in other.users):
                return True
        sharing[memory].append(node)
    return False


def _writes(node: fx.Node) -> bool:
    if not isinstance(node.target, OpOverload):
        return False
    return any(
        argument.alias_info is not None and argument.alias_info.is_write
        for argument in node.target._schema.arguments
    )


def _constants(captured: Captured, moving: Mapping[fx.Node, Size]) -> dict[fx.Node, Any]:
    found: dict[fx.Node, Any] = {}
    for node in captured.graph.graph.nodes:
        if node in moving or node.op == "output":
            continue
        if node.op == "get_attr":
            value: Any = captured.graph
            for part in str(node.target).split("."):
                value = getattr(value, part)
            found[node] = value
        elif isinstance(node.target, OpOverload):
            args, kwargs = fx.map_arg((node.args, node.kwargs), found.__getitem__)
            with torch.no_grad():
                found[node] = node.target(*args, **kwargs)
    return found


def _stages(
    nodes: Sequence[fx.Node],
    output: fx.Node,
    image: fx.Node,
    lattices: Mapping[fx.Node, Size],
    movable: Mapping[fx.Node, Movable],
) -> Iterator[Stage]:
    """What has to be computed on each lattice, beginning with what the output needs.

    What cannot be moved is computed again where it is read.
    """
    wanted: dict[Size, dict[fx.Node, None]] = defaultdict(dict)
    wanted[lattices[output]][output] = None
    needed: list[tuple[Size, set[fx.Node], list[fx.Node], list[fx.Node]]] = []
    while wanted:
        lattice = max(wanted, key=prod)
        kept = list(wanted.pop(lattice))
        own, given, todo = set(kept), list[fx.Node](), list(kept)
        while todo:
            for read in todo.pop().all_input_nodes:
                if read not in lattices or read in own or read in given:
                    continue
                finer = lattices[read]
                if read is image:
                    given.append(read)
                elif finer != lattice and read in movable and movable[read].fits(finer):
                    given.append(read)
                    wanted[finer][read] = None
                else:
                    own.add(read)
                    todo.append(read)
        needed.append((lattice, own, given, kept))
    needed.reverse()
    number = {lattice: i for i, (lattice, *_) in enumerate(needed)}
    for lattice, own, given, kept in needed:
        origins = {node: -1 if node is image else number[lattices[node]] for node in given}
        yield Stage(lattice, [node for node in nodes if node in own], origins, kept)
