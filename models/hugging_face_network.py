"""A network of transformers or diffusers as a callable from images to an image."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from equibench.inference.model_outputs import tensors

__all__ = ["HuggingFaceNetwork"]


class HuggingFaceNetwork(nn.Module):
    """A network of transformers or diffusers: (B, C, H, W) to the image among its outputs.

    That is the only output (B, C', H', W'), or a depth (B, H', W'), which becomes (B, 1, H', W').
    Where there is none, or several, all outputs are passed on, for ``out.select``.

    Args:
        network: takes images as ``pixel_values``, or first.
        files_read: what it was made of.
    """

    def __init__(self, network: nn.Module, files_read: Sequence[Path]) -> None:
        super().__init__()
        self.network, self.files_read = network, list(files_read)
        parameters = inspect.signature(network.forward).parameters.values()
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        names = [parameter.name for parameter in parameters if parameter.kind not in several]
        self.image = "pixel_values" if "pixel_values" in names else names[0]
        self.input_names = [name for name in names if name != self.image]
        """What it takes besides images, as keys of adapters name it."""

    def forward(self, images: Tensor, *second: Tensor, **named: Tensor) -> Any:
        further = [name for name in self.input_names if name not in named]
        given = {self.image: images, **dict(zip(further, second, strict=False)), **named}
        output = self.network(**given)
        found = [
            value if value.ndim == 4 else value[:, None]
            for path, value in tensors(output)
            if "/" not in path and (value.ndim == 4 or (path, value.ndim) == ("predicted_depth", 3))
        ]
        return found[0] if len(found) == 1 else output
