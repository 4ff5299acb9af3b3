"""A network behind its adaptation, which brings images and outputs into shape and range."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from equibench.errors import ModelError, UsageError
from equibench.inference.adapter_keys import Adaptation
from equibench.inference.forward_pass import described, shape
from equibench.registry.specs import Spec

__all__ = ["Adapted", "adapt"]

_LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601)."""


class _Affine(NamedTuple):
    """x → (x − origin) / unit + base, for each image and channel (B or 1, C or 1, 1, 1)."""

    origin: Tensor
    unit: Tensor
    base: float


class Adapted(nn.Module):
    """A network behind its adaptation: (B, C, H, W) to (B, C', H, W), or larger by a factor.

    Args:
        network: any callable; a module's tensors and layers are this module's.
        label: what messages call it.

    Raises:
        ModelError: from ``forward``, where images or outputs do not fit; it says what came,
            what was expected, and which key mends it.
    """

    def __init__(
        self, network: Callable[..., Any], adaptation: Adaptation, label: str = "the model"
    ) -> None:
        super().__init__()
        self.network, self.adaptation, self.label = network, adaptation, label
        self.output_scale = adaptation.out_scale
        self.padded = False  # whether the last images were
        self.thread_safe = isinstance(network, nn.Module)
        self.mean, self.std, self.mask = adaptation.mean, adaptation.std, adaptation.mask
        if isinstance(stride := getattr(network, "total_stride", None), int):
            self.total_stride = stride

    def forward(self, images: Tensor) -> Tensor:
        a = self.adaptation
        x = self._channels(images, a.in_channels, "in.channels", "the images have")
        before = self._normalisation(x)
        for affine in before:
            x = (x - affine.origin) / affine.unit + affine.base
        second = self._second(x)
        height, width = x.shape[-2:]
        x, second = self._padded(x), self._padded(second)
        output = self._select(self._call(x, second))
        output = self._image(output, x.shape, (height, width))
        if a.out_restore:
            for affine in reversed(before):
                output = self._undone(affine, output)
        if a.out_channel is not None:
            if a.out_channel >= output.shape[1]:
                self._fail(f"out.channel={a.out_channel}, but the output is {shape(output)}")
            output = output[:, a.out_channel : a.out_channel + 1]
        return self._channels(output, a.out_channels, "out.channels", "the output has")

    def _normalisation(self, x: Tensor) -> list[_Affine]:
        """``in.range``, then ``in.mean`` and ``in.std``."""
        steps = []
        one = x.new_ones(())
        if self.adaptation.bounds is not None:
            low, high = self.adaptation.bounds
            least, most = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
            span = (most - least).where(most > least, one)
            steps.append(_Affine(least, span / (high - low), low))
        if self.mean is not None or self.std is not None:
            mean = 0 * one if self.mean is None else self.mean.to(x)
            std = one if self.std is None else self.std.to(x)
            for key, values in (("in.mean", mean), ("in.std", std)):
                if values.ndim and values.shape[1] not in (1, x.shape[1]):
                    self._fail(
                        f"{key} has {values.shape[1]} values, but the images have {x.shape[1]} "
                        f"channels: give one value, or set in.channels={values.shape[1]}"
                    )
            steps.append(_Affine(mean, std, 0.0))
        return steps

    def _undone(self, affine: _Affine, output: Tensor) -> Tensor:
        channels = max(v.shape[1] if v.ndim else 1 for v in affine[:2])
        if channels not in (1, output.shape[1]):
            self._fail(
                f"the output {shape(output)} cannot be brought back from the range of {channels} "
                "channels: set out.restore=false"
            )
        return (output - affine.base) * affine.unit + affine.origin

    def _second(self, x: Tensor) -> Tensor | None:
        if self.adaptation.in_noise is not None:
            level = x.new_full((len(x),), self.adaptation.in_noise)
            flat = self.adaptation.in_second != "channel"
            return level if flat else level[:, None, None, None].expand_as(x[:, :1])
        if self.mask is None:
            return None
        if self.mask.numel() > 1 and self.mask.shape[-2:] != x.shape[-2:]:
            self._fail(
                f"in.mask={self.adaptation.in_mask} is {'×'.join(map(str, self.mask.shape[-2:]))}, "
                f"but the images are {shape(x)}: give a mask of their size, or one value"
            )
        return self.mask.to(x).expand(len(x), 1, *x.shape[-2:])

    def _padded(self, x: Tensor | None) -> Any:
        multiple = self.adaptation.in_pad
        if multiple is None or x is None or x.ndim < 4:
            return x
        height, width = (-size % multiple for size in x.shape[-2:])
        self.padded = bool(height or width)
        return pad(x, (0, width, 0, height), self.adaptation.in_pad_mode)

    def _call(self, x: Tensor, second: Tensor | None) -> object:
        a = self.adaptation
        if second is not None and a.in_second == "channel":
            x, second = torch.cat((x, second), dim=1), None
        if a.in_volume == "channels":
            x = x[:, None]
        elif a.in_volume is not None:
            x = x[:, :, None].expand(-1, -1, a.in_volume, -1, -1).contiguous()
        if second is None:
            return self.network(x)
        if a.in_second == "argument":
            return self.network(x, second)
        return self.network(x, **{a.in_second: second})

    def _select(self, output: object) -> Tensor:
        path = self.adaptation.out_select
        for key in [] if path is None else str(path).split("/"):
            try:
                output = _member(output, key)
            except (LookupError, AttributeError, TypeError):
                self._fail(f"out.select={path}, but it returned {described(output)}")
        if not isinstance(output, Tensor):
            self._fail(
                f"it returned {described(output)}, not one tensor: add out.select=0, or another "
                "index or key"
            )
        return output

    def _image(self, output: Tensor, given: torch.Size, size: tuple[int, int]) -> Tensor:
        """(B, C, H, W) of an output, cropped back to what was there before it was padded."""
        a, wanted = self.adaptation, [n * self.adaptation.out_scale for n in given[-2:]]
        if a.in_volume is not None and output.ndim == 5:
            if a.in_volume == "channels":
                output = output.flatten(1, 2)
            else:
                output = output[:, :, output.shape[2] // 2]
        if output.ndim != 4 or list(output.shape[-2:]) != wanted:
            factors = {n / m for n, m in zip(output.shape[-2:], given[-2:], strict=True)}
            (factor,) = factors if len(factors) == 1 else (0.0,)
            remedy = (
                f"set out.scale={factor:.0f}"
                if output.ndim == 4 and factor >= 1 and factor.is_integer()
                else "pad its input with in.pad=32, or take another member with out.select"
            )
            self._fail(
                f"it returned a tensor {shape(output)} for an input {tuple(given)}, not "
                f"({given[0]}, C, {wanted[0]}, {wanted[1]}): {remedy}"
            )
        height, width = (n * a.out_scale for n in size)
        return output[..., :height, :width]

    def _channels(self, x: Tensor, wanted: int | None, key: str, whose: str) -> Tensor:
        """Grey ↔ RGB."""
        given = x.shape[1]
        if wanted is None or wanted == given:
            return x
        if given == 1:
            return x.expand(-1, wanted, -1, -1).contiguous()
        if wanted == 1 and given == 3:
            return (x * x.new_tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)
        remedy = " (out.channel=0 takes one of them)" if key == "out.channels" else ""
        self._fail(
            f"{key}={wanted}, but {whose} {given} channels: only one can become several, and "
            f"three one{remedy}"
        )

    def _fail(self, problem: str) -> NoReturn:
        raise ModelError(f"{self.label}: {problem}")


def adapt(model: Callable[..., Any], adapters: str) -> Adapted:
    """A model behind adapters, for use from Python.

    >>> eb.evaluate(eb.adapt(model, "in.channels=3,out.select=0"), images)  # doctest: +SKIP

    Args:
        adapters: ``in.…`` and ``out.…`` keys, as on the command line.

    Raises:
        UsageError: there is no such key, or a value does not fit.
    """
    label = str(getattr(model, "__name__", type(model).__name__))
    spec = Spec.parse(f"{label},{adapters}")
    if spec.arguments:
        raise UsageError(
            f"{', '.join(spec.arguments)} in {adapters!r} adapts nothing: adapters begin with in. "
            "or out."
        )
    adapted = Adapted(model, Adaptation.of(spec.adapters, label), label)
    adapted.__name__ = label  # type: ignore[assignment]
    return adapted


def _member(output: object, key: str) -> object:
    if isinstance(output, Mapping):
        return output[key] if key in output else output[int(key)]
    if key.lstrip("-").isdigit() and isinstance(output, tuple | list):
        return output[int(key)]
    return getattr(output, key)
