"""Faster forms of a model that compute the same up to rounding, and the check that they do."""

import copy
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from equibench.errors import ModelError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.foundation.rounding import allowance
from equibench.inference.model_outputs import Wrapper
from equibench.inference.placement import placed
from equibench.inference.precision import numerics
from equibench.measurement.settings import Settings
from equibench.metrics.squared_error import nmse

__all__ = ["Optimization", "optimized"]

Optimization = Literal["fuse", "channels-last", "compile"]
"""``fuse`` puts batch norms into the convolutions before them, ``channels-last`` changes the
memory layout, ``compile`` is ``torch.compile``."""


def optimized(
    model: Callable[[Tensor], Tensor],
    wanted: Iterable[Optimization],
    image: Tensor,
    settings: Settings,
    label: str,
) -> nn.Module:
    """A faster copy of a model (B, C, H, W) to (B, C', H, W), checked on an image (1, C, H, W).

    Raises:
        ModelError: it is no PyTorch module, it cannot be optimised, or the copy gives something
            else by more than rounding.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{label} is a {type(model).__name__}, no PyTorch module: leave --optimize out"
        )
    wanted = list(wanted)
    with guarded(
        lambda error: (
            f"{label} cannot be optimised by {', '.join(wanted)} ({kind_and_reason(error)}): leave "
            "one out"
        )
    ):
        fast = copy.deepcopy(model).eval()
        if "fuse" in wanted:
            _fuse(fast)
        if "channels-last" in wanted:
            fast = _ChannelsLast(fast)
        if "compile" in wanted:
            fast.compile()
        outputs = [_output(each, image, settings) for each in (model, fast)]
    limit = allowance(settings.precision, 0.0)
    difference = float(nmse(*outputs, 1.0))
    if not difference <= limit:
        raise ModelError(
            f"{label} optimised by {', '.join(wanted)} differs from itself by an NMSE of "
            f"{difference:.1e}, more than the {limit:.1e} of rounding: leave one out"
        )
    return fast


def _output(model: nn.Module, image: Tensor, settings: Settings) -> Tensor:
    with (
        placed(model, settings.device, settings.precision) as forward,
        numerics(settings.precision),
    ):
        return forward(image.to(settings.device)).double()


def _fuse(model: nn.Module) -> None:
    """Where a batch norm follows a convolution in an ``nn.Sequential``, which says the order."""
    for module in model.modules():
        if not isinstance(module, nn.Sequential):
            continue
        names = list(module._modules)
        for first, second in pairwise(names):
            conv, norm = module._modules[first], module._modules[second]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module._modules[first] = fuse_conv_bn_eval(conv, norm)
                module._modules[second] = nn.Identity()


class _ChannelsLast(nn.Module, Wrapper):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.model(x.to(memory_format=torch.channels_last))
        return output.contiguous()
