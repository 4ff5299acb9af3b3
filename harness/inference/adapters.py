"""A network behind its adaptation, which brings images and outputs into shape and range."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from equibench.errors import ModelError, UsageError
from equibench.inference.adapter_keys import AdapterKeys
from equibench.inference.model_outputs import Frame, described, member, shape
from equibench.registry.specs import Spec
from equibench.transforms.transform import inside

__all__ = ["Adapted", "Unfit", "adapt", "further_inputs"]

_LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601)."""

_IMAGE = 4
"""Axes of images (B, C, H, W)."""

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""Interpolation by axes in space."""

_SIMILAR = 0.5
"""Correlation of an output with the input from which on it is an image of the input's kind."""


class Unfit(ModelError):
    """Images or an output do not fit an adaptation.

    Attributes:
        output: what the network returned, where that does not fit.
    """

    output: object = None


class _Affine(NamedTuple):
    """x → (x − origin) / unit + base, for each image and channel (B or 1, C or 1, 1, …)."""

    origin: Tensor
    unit: Tensor
    base: float

    @property
    def channels(self) -> int:
        """For how many it has numbers of their own."""
        return max(value.shape[1] if value.ndim else 1 for value in (self.origin, self.unit))

    def applied(self, x: Tensor) -> Tensor:
        return (x - self.origin) / self.unit + self.base


class Adapted(nn.Module, Frame):
    """A network behind its adaptation: (B, C, *size) to (B, C', *size), or larger by a factor.

    Where ``out.restore`` is not given, a network's output is brought back into the units of its
    input if it is an image of the input's kind: it has as many channels, and what comes of a
    smooth image in [0, 1] under the same normalisation correlates with that by 0.5 or more. So are
    restored images and those that a network passes on, and not probabilities, labels or noise.

    Args:
        network: any callable; a module's tensors and layers are this module's.
        label: what messages call it.

    Raises:
        Unfit: from ``forward``, where images or outputs do not fit; it says what came and what was
            expected.
    """

    changes_no_output = ("padded", "resized", "added", "unmoved", "_similar")
    """Attributes that a measurement need not put back."""

    def __init__(
        self, network: Callable[..., Any], adaptation: AdapterKeys, label: str = "the model"
    ) -> None:
        super().__init__()
        self.network, self.adaptation, self.label = network, adaptation, label
        self.output_scale = adaptation.out_scale
        self.labels = adaptation.out_labels is not None
        self.thread_safe = isinstance(network, nn.Module)
        self.mean, self.std, self.mask = adaptation.mean, adaptation.std, adaptation.mask
        self.named = adaptation.named
        self._similar: dict[tuple[int, ...], bool] = {}
        if isinstance(stride := getattr(network, "total_stride", None), int):
            self.total_stride = stride

    def forward(self, images: Tensor) -> Tensor:
        a = self.adaptation
        self.added = self.unmoved = None
        x = self._channels(images, a.in_channels, "in.channels", "the images have")
        steps = self._normalisation(x)
        output = self._through(x, steps)
        if not steps or not self._restores(x, steps):
            return self._labelled(self._taken(output))
        added = output.new_zeros(_per_channel(output))
        for step in reversed(steps):
            self._fits(step, output)
            output, added = output * step.unit, (added - step.base) * step.unit + step.origin
        output, added = self._taken(output), self._taken(added)
        self.added, self.unmoved = added.detach(), output.detach()
        return output + added

    def _through(self, x: Tensor, steps: list[_Affine]) -> Tensor:
        """From images with the network's channels to its output, in the network's units."""
        for step in steps:
            x = step.applied(x)
        second = self._second(x)
        size = x.shape[2:]
        x, second = self._padded(x), self._padded(second)
        output = self._select(self._call(x, second))
        return self._image(output, x.shape, size)

    def _taken(self, output: Tensor) -> Tensor:
        """The channels that count."""
        a = self.adaptation
        if a.out_channel is not None:
            if a.out_channel >= output.shape[1]:
                self._fail(f"out.channel={a.out_channel}, but the output is {shape(output)}")
            output = output[:, a.out_channel : a.out_channel + 1]
        return self._channels(output, a.out_channels, "out.channels", "the output has")

    def _labelled(self, output: Tensor) -> Tensor:
        """Class maps (B, K, *size) of an output, where labels are asked for."""
        if not self.labels:
            return output
        channels, threshold = output.shape[1], self.adaptation.threshold
        if (threshold is None) == (channels == 1):
            instead = "threshold:0" if channels == 1 else "argmax, or out.channel=0"
            self._fail(
                f"out.labels={self.adaptation.out_labels}, but the output has {channels} "
                f"channel{'s' * (channels > 1)}: out.labels={instead}"
            )
        if threshold is None:
            is_largest = output == output.amax(dim=1, keepdim=True)
            maps = (is_largest & (is_largest.cumsum(dim=1) == 1)).to(output)  # the first of several
        else:
            maps = torch.cat((output <= threshold, output > threshold), dim=1).to(output)
        return maps.masked_fill(output.isnan().any(dim=1, keepdim=True), torch.nan)

    def _restores(self, x: Tensor, steps: list[_Affine]) -> bool:
        if self.labels:
            return False
        if self.adaptation.out_restore is not None:
            return self.adaptation.out_restore
        key = tuple(x.shape)
        if key not in self._similar:
            image = _smooth(x)
            output = self._through(image, self._normalisation(image))
            larger = max(1, int(self.output_scale))
            smaller = max(1, round(1 / self.output_scale))
            given, made = image[:1].float(), output[:1].float()
            self._similar[key] = (
                output.shape[1] == x.shape[1]
                and _correlation(_coarser(given, smaller), _coarser(made, larger)) >= _SIMILAR
            )
        return self._similar[key]

    def _normalisation(self, x: Tensor) -> list[_Affine]:
        """``in.range``, then ``in.mean`` and ``in.std``."""
        steps = []
        one = x.new_ones(())
        if self.adaptation.bounds is not None:
            low, high = self.adaptation.bounds
            each = tuple(range(1, x.ndim))
            least, most = x.amin(each, keepdim=True), x.amax(each, keepdim=True)
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
            if x.ndim != _IMAGE:
                shape = [1, -1, *[1] * (x.ndim - 2)]
                mean, std = (v.reshape(shape) if v.ndim else v for v in (mean, std))
            steps.append(_Affine(mean, std, 0.0))
        return steps

    def _fits(self, step: _Affine, output: Tensor) -> None:
        if step.channels not in (1, output.shape[1]):
            self._fail(
                f"the output {shape(output)} cannot be brought back from the range of "
                f"{step.channels} channels: set out.restore=false"
            )

    def _second(self, x: Tensor) -> Tensor | None:
        if self.adaptation.in_noise is not None:
            level = x.new_full((len(x),), self.adaptation.in_noise)
            flat = self.adaptation.in_second != "channel"
            return level if flat else level[(...,) + (None,) * (x.ndim - 1)].expand_as(x[:, :1])
        if self.mask is None:
            return None
        if x.ndim != _IMAGE:
            self._fail(
                f"in.mask is for images (B, C, H, W), and these are {shape(x)}: leave it out"
            )
        if self.mask.numel() > 1 and self.mask.shape[-2:] != x.shape[-2:]:
            self._fail(
                f"in.mask={self.adaptation.in_mask} is {'×'.join(map(str, self.mask.shape[-2:]))}, "
                f"but the images are {shape(x)}: give a mask of their size, or one value"
            )
        return self.mask.to(x).expand(len(x), 1, *x.shape[-2:])

    def _padded(self, x: Tensor | None) -> Any:
        multiple = self.adaptation.in_pad
        if multiple is None or x is None or x.ndim < 3:
            return x
        more = [-size % multiple for size in x.shape[2:]]
        self.padded = any(more)
        sides = [side for n in reversed(more) for side in (0, n)]
        return pad(x, sides, self.adaptation.in_pad_mode)

    def _call(self, x: Tensor, second: Tensor | None) -> object:
        a = self.adaptation
        if second is not None and a.in_second == "channel":
            x, second = torch.cat((x, second), dim=1), None
        if a.in_volume is not None and x.ndim != _IMAGE:
            self._fail(
                f"in.volume makes volumes of images (B, C, H, W), and these are {shape(x)}: "
                "leave it out"
            )
        if a.in_volume == "channels":
            x = x[:, None]
        elif a.in_volume is not None:
            x = x[:, :, None].expand(-1, -1, a.in_volume, -1, -1).contiguous()
        named = {name: self._each(value, x) for name, value in self.named.items()}
        if second is None:
            return self.network(x, **named)
        if a.in_second == "argument":
            return self.network(x, second, **named)
        return self.network(x, **{a.in_second: second}, **named)

    def _each(self, value: Tensor, x: Tensor) -> Tensor:
        """A further input for every image, in their precision where it is no whole number."""
        value = value.to(x) if value.is_floating_point() else value.to(x.device)
        return value.expand(len(x), *value.shape[1:])

    def _select(self, output: object) -> Tensor:
        path = self.adaptation.out_select
        for key in [] if path is None else str(path).split("/"):
            try:
                output = member(output, key)
            except (LookupError, AttributeError, TypeError, ValueError):
                self._fail(f"out.select={path}, but it returned {described(output)}")
        if not isinstance(output, Tensor):
            self._fail(f"it returned {described(output)}, not one tensor", output)
        return output

    def _image(self, output: Tensor, given: torch.Size, size: torch.Size) -> Tensor:
        """(B, C, *size) of an output, cropped back to what was there before it was padded."""
        a = self.adaptation
        whole = {(n * a.out_scale) % 1 == 0 for n in (*given[2:], *size)}
        if whole != {True}:
            self._fail(
                f"out.scale={a.out_scale:g} does not divide images of {'×'.join(map(str, size))}: "
                "give it others, or out.resize=bilinear in its place"
            )
        wanted = [int(n * a.out_scale) for n in given[2:]]
        if a.in_volume is not None and output.ndim == 5:
            if a.in_volume == "channels":
                output = output.flatten(1, 2)
            else:
                output = output[:, :, output.shape[2] // 2]
        self.resized = f"1/{round(1 / a.out_scale)}" if a.out_scale < 1 else ""
        alike = output.ndim == len(given)
        if a.out_resize is not None and alike and list(output.shape[2:]) != wanted:
            self.resized = a.out_resize
            linear = _LINEAR[len(wanted)]
            mode = linear if a.out_resize == "bilinear" else "nearest-exact"
            output = interpolate(output, wanted, mode=mode)
        if not alike or list(output.shape[2:]) != wanted:
            self._fail(
                f"it returned {described(output)} for an input {tuple(given)}, not "
                f"({given[0]}, C, {', '.join(map(str, wanted))})",
                output,
            )
        return inside(output, tuple(slice(0, int(n * a.out_scale)) for n in size))

    def _channels(self, x: Tensor, wanted: int | None, key: str, whose: str) -> Tensor:
        """Grey ↔ RGB."""
        given = x.shape[1]
        if wanted is None or wanted == given:
            return x
        if given == 1:
            return x.expand(-1, wanted, *x.shape[2:]).contiguous()
        if wanted == 1 and given == 3:
            return (x * x.new_tensor(_LUMA).reshape(_per_channel(x))).sum(dim=1, keepdim=True)
        remedy = " (out.channel=0 takes one of them)" if key == "out.channels" else ""
        self._fail(
            f"{key}={wanted}, but {whose} {given} channels: only one can become several, and "
            f"three one{remedy}"
        )

    def _fail(self, problem: str, output: object = None) -> NoReturn:
        unfit = Unfit(f"{self.label}: {problem}")
        unfit.output = output
        raise unfit


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
    adaptation = AdapterKeys.of(spec.adapters, label, further_inputs(model))
    adapted = Adapted(model, adaptation, label)
    adapted.__name__ = label  # type: ignore[assignment]
    return adapted


def further_inputs(network: Callable[..., Any]) -> list[str] | None:
    """What a network takes by name beside the image; None where that cannot be known."""
    names = getattr(network, "input_names", None)
    if names is not None:
        return list(names)
    try:
        function = network.forward if isinstance(network, nn.Module) else network
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters[1:] if p.kind in named]


def _smooth(x: Tensor) -> Tensor:
    """An image in [0, 1] with smooth shapes, as often as there are images (B, C, *size)."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, x.shape[1], *[6] * (x.ndim - 2), generator=random)
    mode = "bicubic" if x.ndim == _IMAGE else _LINEAR[x.ndim - 2]
    image = interpolate(coarse, x.shape[2:], mode=mode, align_corners=True).clamp(0, 1)
    return image.to(x).expand(x.shape).contiguous()


def _per_channel(x: Tensor) -> tuple[int, ...]:
    """(1, C, 1, …): one number for each channel of (B, C, *size)."""
    return (1, x.shape[1], *[1] * (x.ndim - 2))


def _coarser(image: Tensor, factor: int) -> Tensor:
    """Means (C, *size / factor) of an image (1, C, *size)."""
    for dim in range(2, image.ndim):
        whole = image.shape[dim] // factor * factor
        cut = image.narrow(dim, 0, whole)
        cells = cut.reshape(*cut.shape[:dim], -1, factor, *cut.shape[dim + 1 :])
        image = cells.mean(dim=dim + 1)
    return image[0]


def _correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's, over all channels and pixels; 0 where one of them is constant or not finite."""
    a, b = ((v.double() - v.double().mean()).flatten() for v in (one, other))
    norm = a.norm() * b.norm()
    return float((a @ b / norm).nan_to_num(0.0)) if norm > 0 else 0.0
