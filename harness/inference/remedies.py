"""What mends a model that does not take its images, found by trying it.

Every failure suggests some adapters, by the words of an error or the shape of an output. They are
put around the model, and what is advised is what then gives an image, if need be after several.
Where no adapter does, the words of the error may still tell what does.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from equibench.errors import EquibenchError, words
from equibench.inference.adapter_keys import AdapterKeys
from equibench.inference.adapters import Adapted, Unfit
from equibench.inference.model_outputs import frame_of, mismatch, tensors
from equibench.inference.placement import Placed
from equibench.registry.specs import Scalar

__all__ = ["Failure", "remedy"]

Keys = Mapping[str, Scalar]

_TRIES = 24
"""Forward passes that a remedy may take."""

_IMAGE = 4
"""Axes of images (B, C, H, W)."""

_KINDS = {3: "signals (B, C, L)", 4: "images (B, C, H, W)", 5: "volumes (B, C, D, H, W)"}

_MULTIPLES = (2, 4, 8, 16, 32, 64)
_DEPTHS = (8, 16, 32)

_CHANNELS = [
    r"to have (\d+) channels?, but got \d+ channels?",
    r"(?i)expected (?:input )?channels? (?:to be )?(\d+)",
    r"running_mean should contain \d+ elements not (\d+)",
    r"(?s)index: 1 Got: \d+ Expected: (\d+)",
]
_VOLUMES = (
    r"weight of size \[(?:\d+, ){4}\d+\]|(?i:expected 5-?D|expected .*conv3d|Invalid rank.*"
    r"Expected: 5)|\[N, C, D, H, W\]"
)
_NOISE = r"sigma|noise\w*|level|std"
_HOPELESS = (AttributeError, ImportError, KeyError, NameError, NotImplementedError, SyntaxError)
"""What no other size of the images mends."""

_WORDS = [
    (r"index: [23] Got: \d+ Expected: (\d+)", "it was exported for images of this size: give it "
     "those, or export it with dynamic axes"),
    (r"(?i)same device|on different devices|is on cpu|on cpu, but", "it keeps tensors on a device "
     "of its own: --device cpu"),
    (r"(?i)no module named", "run it in a process of its own: --isolate"),
]  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """What a model did with images: it raised, or returned something else than an image."""

    error: BaseException | None = None
    output: object = None


def remedy(model: Callable[[Tensor], object], images: Tensor, failure: Failure) -> str:
    """What to do about a failure, as a command line has it; nothing where nothing is known.

    Args:
        model: (B, C, *size) to whatever it gives, adapted and in its place, or plain.
    """
    if isinstance(failure.error, Unfit):
        failure = Failure(failure.error, failure.error.output)
    found = _by_trying(model, images, failure)
    if found:
        return f"set {','.join(f'{key}={_text(value)}' for key, value in found.items())}"
    if failure.error is None or isinstance(failure.error, Unfit):
        return _about_output(failure.output, images)
    return _about_error(failure.error, _network(model)[0], images)


def _by_trying(model: Callable[[Tensor], object], images: Tensor, failure: Failure) -> Keys | None:
    """The first adapters under which a model gives images, the shortest first."""
    network, adaptation = _network(model)
    waiting = deque(_suggestions(failure, images, {}))
    tried: list[Keys] = []
    while waiting and len(tried) < _TRIES:
        keys = waiting.popleft()
        if keys in tried:
            continue
        tried.append(keys)
        after = _tried(model, network, {**adaptation.keys, **keys}, images)
        if after is None:
            return keys
        waiting += _suggestions(after, images, keys)
    return None


def _tried(
    model: Callable[[Tensor], object],
    network: Callable[[Tensor], object],
    keys: Keys,
    images: Tensor,
) -> Failure | None:
    """How a model fails behind adapters; None where it does not."""
    try:
        names = [key.removeprefix("in.") for key in keys]
        adapted = Adapted(network, AdapterKeys.of(keys, "the model", names))
        again = model.of(adapted) if isinstance(model, Placed) else adapted
        output = again(images)
        fits = mismatch(output, images, frame_of(adapted).output_scale) is None
    except Unfit as unfit:
        return Failure(unfit, unfit.output)
    except EquibenchError as error:
        return Failure(error)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # whatever a network raises that was not made for this
        return Failure(error)
    return None if fits else Failure(output=output)


def _network(model: Any) -> tuple[Any, AdapterKeys]:
    """A model without its place and adapters, and these adapters."""
    inside = model.model if isinstance(model, Placed) else model
    if isinstance(inside, Adapted):
        return inside.network, inside.adaptation
    return inside, AdapterKeys()


def _suggestions(failure: Failure, images: Tensor, keys: Keys) -> list[Keys]:
    """Adapters that may mend a failure, besides those that are there."""
    if failure.error is None or isinstance(failure.error, Unfit):
        found = _for_output(failure.output, images)
    else:
        found = _for_error(failure.error, images)
    return [{**keys, **more} for more in found if not more.keys() <= keys.keys()]


def _for_output(output: object, images: Tensor) -> Iterator[Keys]:
    size = images.shape[2:]
    found = [(path, t) for path, t in tensors(output) if t.ndim == images.ndim]
    for path, _ in sorted(found, key=lambda each: each[1].shape[2:] != size):
        yield {"out.select": path}
    if isinstance(output, Tensor) and output.ndim == images.ndim:
        factors = {n / m for n, m in zip(output.shape[2:], size, strict=True)}
        (factor,) = factors if len(factors) == 1 else (0.0,)
        if factor > 1 and factor.is_integer():
            yield {"out.scale": int(factor)}
        if 0 < factor < 1:
            yield {"out.resize": "bilinear"}
        yield from _pads(images)


def _for_error(error: BaseException, images: Tensor) -> Iterator[Keys]:
    text = words(error)
    if re.search(_VOLUMES, text) and images.ndim == _IMAGE:
        yield from ({"in.volume": depth} for depth in _DEPTHS)
        return
    for pattern in _CHANNELS:
        if match := re.search(pattern, text):
            yield {"in.channels": int(match[1])}
            return
    if match := re.search(r"takes whole numbers from (\d+) to (\d+)", text):
        yield {"in.range": f"{match[1]}..{match[2]}"}
        return
    missing = re.search(r"missing \d+ required positional arguments?: (.*)", text)
    missing = missing or re.search(r"missing \d+ required keyword-only arguments?: (.*)", text)
    if missing:
        yield from _arguments(re.findall(r"'([^']+)'", missing[1]))
        return
    for index, wanted in re.findall(r"index: ([23]) Got: \d+ Expected: (\d+)", text):
        if int(index) < images.ndim and int(wanted) >= images.shape[int(index)]:
            yield {"in.pad": int(wanted)}
            return
    # a network that knows what padding costs has said what to do instead
    if not isinstance(error, (*_HOPELESS, EquibenchError)) and "break equivariance" not in text:
        yield from _pads(images)


def _arguments(names: list[str]) -> Iterator[Keys]:
    """For inputs beside the image."""
    if len(names) == 1 and re.fullmatch(_NOISE, names[0]):
        yield {"in.noise": 0.05}
    if len(names) == 1 and "mask" in names[0]:
        yield {"in.mask": 1}
    for value in (1, 1.0):  # a number of a step, or a level
        yield {f"in.{name}": value for name in names}


def _pads(images: Tensor) -> Iterator[Keys]:
    for multiple in _MULTIPLES:
        if any(size % multiple for size in images.shape[2:]):
            yield {"in.pad": multiple}


def _about_output(output: object, images: Tensor) -> str:
    """What a user can do about an output that no adapter makes an image of."""
    size, ndim = images.shape[2:], images.ndim
    if not isinstance(output, Tensor):
        return "name what returns an image: no member of it is one"
    if output.device != images.device or output.layout != torch.strided:
        return "wrap it so that it returns that"
    if output.ndim == ndim and not output.is_floating_point():
        return "wrap it so that it returns real numbers"
    if output.ndim == ndim and output.shape[1:-1] == size:
        order = ", ".join(map(str, (0, ndim - 1, *range(1, ndim - 1))))
        return f"its channels come last: wrap it to return output.permute({order})"
    if output.ndim == ndim - 1 and output.shape[1:] == size:
        return "it lacks the channels: wrap it to return output[:, None]"
    if output.ndim == 3 and ndim == _IMAGE and (grid := _grid(output.shape[1], images)):
        rows, columns, factor = grid
        behind = f", with torch.nn.Upsample(scale_factor={factor}) behind it" if factor > 1 else ""
        return (
            "these are tokens: wrap it to return output.transpose(1, 2).unflatten(2, "
            f"({rows}, {columns})){behind}"
        )
    if output.ndim < ndim:
        return (
            "it gives no image but a vector for each: name what builds its image or its feature "
            "maps"
        )
    return "wrap it so that it returns that"


def _grid(tokens: int, images: Tensor) -> tuple[int, int, int] | None:
    """Rows and columns of tokens that cover an image, and the pixels that each is wide."""
    height, width = images.shape[-2:]
    for factor in range(1, min(height, width) + 1):
        if not height % factor and not width % factor and height * width == tokens * factor**2:
            return height // factor, width // factor, factor
    return None


def _of_other_axes(network: object, images: Tensor) -> str:
    """That a network convolves signals, images or volumes, and is given others; or nothing."""
    modules = network.modules() if isinstance(network, nn.Module) else ()
    convolved = {m.weight.ndim for m in modules if isinstance(m, nn.modules.conv._ConvNd)}
    if len(convolved) != 1 or (ndim := convolved.pop()) == images.ndim or ndim not in _KINDS:
        return ""
    channels = " (images[:, None] adds the channels that are missing)"
    return (
        f"it convolves {_KINDS[ndim]}, and these are {_KINDS[images.ndim]}: give it those"
        f"{channels if ndim == images.ndim + 1 else ''}"
    )


def _about_error(error: BaseException, network: object, images: Tensor) -> str:
    kinds = {p.dtype for p in network.parameters()} if isinstance(network, nn.Module) else set()
    own = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float64: "fp64"}
    if len(kinds) == 1 and (kind := kinds.pop()) in own:
        name = str(kind).removeprefix("torch.")
        return f"its weights are {name}: --precision {own[kind]}"
    if other := _of_other_axes(network, images):
        return other
    for pattern, advice in _WORDS:
        if re.search(pattern, words(error)):
            return advice
    if match := re.search(r"missing \d+ required .* arguments?: (.*)", words(error)):
        names = re.findall(r"'([^']+)'", match[1])
        return f"give it {', '.join(f'in.{name}=VALUE' for name in names)}, a number or a file"
    return ""


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
