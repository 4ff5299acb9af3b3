"""Which shifts a network commutes with at the size that it is given, tried when it first is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from equibench.cases.suite import ImageCases
from equibench.errors import ModelError
from equibench.evidence.stride_probing import Probe, probe
from equibench.inference.model_outputs import Frame
from equibench.inference.precision import Precision
from equibench.measurement.settings import Settings
from equibench.state.model_state import evaluating

__all__ = ["maps_of", "probe_of", "scale_of", "size_of"]

_BATCH = 2
"""Of a probe: the least that shows the floor."""


def size_of(images: Tensor) -> tuple[object, ...]:
    """What a probe is good for: size, dtype and device."""
    return (*images.shape[1:], images.dtype, images.device.type)


def probe_of(
    network: Callable[..., Any],
    label: str,
    images: Tensor,
    *inputs: Any,
    declared: int | None = None,
    **named: Any,
) -> Probe:
    """The total stride of a network on images of one size, by trying noise and the first of them.

    The network is in ``eval()`` mode meanwhile.

    Args:
        inputs, named: what else it takes.

    Raises:
        ModelError: it raises, or gives no maps of the images' size or a multiple of it.
    """
    first = images[:1].detach()
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(first.shape, generator=random, dtype=torch.float64).to(first)
    noise = noise * first.std().clamp(min=1e-3) + first.mean()
    others = tree_map(lambda value: _repeated(value, len(images)), (inputs, named))
    forward = _Forward(network, others, first)
    settings = Settings((), "canonical", 0, first.device, _precision(first), _BATCH)
    with evaluating(network), torch.no_grad():
        forward.measure(first)
        suite = ImageCases(torch.cat((noise, first)), name="images of this size")
        suite.label = suite.name
        return probe(forward, label, suite, suite.cases(), settings, declared)


def maps_of(output: object) -> list[Tensor]:
    """The tensors (B, C, H, W) of what a network returned."""
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.ndim == 4]


def scale_of(maps: Tensor, images: Tensor) -> tuple[int, int]:
    """By how much a map is larger than the images, along each axis.

    Raises:
        ModelError: by no whole number.
    """
    sides = zip(maps.shape[-2:], images.shape[-2:], strict=True)
    ratios = [divmod(large, small) for large, small in sides]
    if any(rest for _, rest in ratios):
        raise ModelError(
            f"an output {tuple(maps.shape)} of images {tuple(images.shape)} cannot be moved back: "
            "treatments need outputs of the images' size, or larger by a whole factor"
        )
    return ratios[0][0], ratios[1][0]


class _Forward(Frame):
    """A network as a probe calls it: one image to one map."""

    def __init__(self, network: Callable[..., Any], others: Any, image: Tensor) -> None:
        self.network, self.others, self.dtype = network, others, image.dtype

    def __call__(self, images: Tensor) -> Any:
        inputs, named = self.others
        output = self.network(images.to(self.dtype), *inputs, **named)
        maps = maps_of(output)
        return maps[0] if maps else output

    def measure(self, image: Tensor) -> None:
        """See by how much outputs are larger."""
        output = self(image.expand(_BATCH, -1, -1, -1))
        if isinstance(output, Tensor) and output.ndim == 4:
            self.output_scale = scale_of(output, image)[0]


def _repeated(value: object, batch: int) -> object:
    """A further input of a batch, for a batch of a probe."""
    if isinstance(value, Tensor) and value.ndim and value.shape[0] == batch:
        return value[:1].expand(_BATCH, *value.shape[1:])
    return value


def _precision(images: Tensor) -> Precision:
    """Whose roundings are none of a network's; in float64 those of float32.

    A network may amplify rounding a thousandfold and more, and what breaks equivariance is far
    above either.
    """
    kind = images.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else images.dtype
    if dtype in (torch.bfloat16, torch.float16):
        return "bf16" if dtype == torch.bfloat16 else "fp16"
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    with_tf32 = images.is_cuda and convolutions.fp32_precision == "tf32"
    return "tf32" if with_tf32 and dtype == torch.float32 else "fp32"
