"""Networks that are given their images where a rule moved them: no layer is touched."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from equibench.errors import ModelError
from equibench.foundation.seeds import generator
from equibench.inference.adapters import further_inputs
from equibench.inference.model_outputs import Wrapper
from equibench.inference.placement import label_of, told
from equibench.mending.periods import maps_of, probe_of, scale_of, size_of
from equibench.mending.positions import Pair, moved, position, traced

__all__ = ["Averaged", "Canonical"]


class _Moving(nn.Module, Wrapper):
    """What passes moved images to a network whose total stride it knows.

    Takes (B, C, H, W) and what else the network takes, of which images of that size move along.
    The stride is found by trying, once for every size of images: when the first of them comes.

    Raises:
        ModelError: from ``forward``, a network that commutes with no shift along an axis but
            whole turns.
    """

    changes_no_output = ("strides",)
    """Attributes that a measurement need not put back."""

    name = ""

    def __init__(self, model: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.label = label_of(model)
        self.thread_safe = isinstance(model, nn.Module)
        self.strides: dict[object, Pair] = {}
        names = further_inputs(model)
        if names is not None:
            self.input_names = names

    def stride(self, images: Tensor, *inputs: Any, **named: Any) -> Pair:
        """(Sy, Sx) of the network on images of this size."""
        key = size_of(images)
        if key not in self.strides:
            if traced():
                raise ModelError(
                    f"mend={self.name}: pass an image of this size once before {self.label} is "
                    "traced, so that its total stride is known"
                )
            if images.ndim != 4:
                raise ModelError(
                    f"mend={self.name} moves images (B, C, H, W), and {self.label} is given "
                    f"{tuple(images.shape)}: leave mend={self.name} out"
                )
            found = probe_of(
                self.model, self.label, images, *inputs,
                declared=told(self.model, "total_stride", 0) or None, **named,
            )  # fmt: skip
            whole = any(s == n > 1 for s, n in zip(found.stride, found.size, strict=True))
            if whole and not found.verified:
                raise _not_periodic(self.name, self.label, found.size)
            self.strides[key] = (found.classes[0], found.classes[1])
        return self.strides[key]

    def at(self, shifts: Tensor, images: Tensor, *inputs: Any, **named: Any) -> Any:
        """The network's output for images rolled by −shifts (B, 2), rolled back by shifts."""

        def along(value: object) -> object:
            if not isinstance(value, Tensor) or value.ndim != 4:
                return value
            return moved(value, -shifts) if value.shape[-2:] == images.shape[-2:] else value

        def back(value: object) -> object:
            if not isinstance(value, Tensor) or value.ndim != 4:
                return value
            scale = torch.tensor(scale_of(value, images), device=shifts.device)
            return moved(value, shifts * scale)

        inputs, named = tree_map(along, ((images, *inputs), named))
        return tree_map(back, self.model(*inputs, **named))


class Canonical(_Moving):
    """Moves every image to a canonical position on the sampling grid, and the output back.

    Of the S² positions it is the one that puts the polyphase component with the largest energy
    first, and of its turns by multiples of S the one that puts its largest sample first: those
    make no difference but that of rounding. See :func:`equibench.mending.positions.position`.
    """

    name = "canonical"

    def forward(self, images: Tensor, *inputs: Any, **named: Any) -> Any:
        stride = self.stride(images, *inputs, **named)
        if stride == (1, 1):
            return self.model(images, *inputs, **named)
        return self.at(position(images, stride), images, *inputs, **named)


class Averaged(_Moving):
    """The mean output over all S² positions on the sampling grid, or over ``n`` of them.

    Those n are drawn once, by the stride, and are taken from the canonical position on, so that
    they move with the image.
    """

    name = "average"

    def __init__(self, model: Callable[..., Any], n: int = 0) -> None:
        super().__init__(model)
        self.n = n

    def forward(self, images: Tensor, *inputs: Any, **named: Any) -> Any:
        stride = self.stride(images, *inputs, **named)
        start = position(images, stride)
        total: Tensor | None = None
        output: Tensor | None = None
        steps = self.positions(stride)
        for step in steps:
            found = maps_of(self.at(start + start.new_tensor(step), images, *inputs, **named))
            if len(found) != 1:
                raise ModelError(f"mend=average: {self.label} gives {len(found)} maps, not one")
            (output,) = found
            total = output.double() if total is None else total + output.double()
        assert total is not None
        assert output is not None
        return (total / len(steps)).to(output.dtype)

    def positions(self, stride: Pair) -> list[Pair]:
        """Steps from the canonical position, each component below the stride."""
        every = list(product(range(stride[0]), range(stride[1])))
        if not self.n or self.n >= len(every):
            return every
        random = generator("average", *stride)
        chosen = random.choice(len(every) - 1, self.n - 1, replace=False)
        return [every[0], *(every[1 + int(i)] for i in sorted(chosen))]


def _not_periodic(treatment: str, label: str, size: Sequence[int]) -> ModelError:
    at = "×".join(map(str, size))
    return ModelError(
        f"mend={treatment} cannot make {label} exact at {at}: along an axis no shift commutes with "
        "it but whole turns, as with padding that does not wrap around: try "
        f"mend=circular+{treatment}"
    )
