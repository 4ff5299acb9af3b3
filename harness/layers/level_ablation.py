"""Which levels of an encoder-decoder network its output depends on: each is silenced in turn.

Maps of the level with stride s have 1/s of the image's samples along each axis. What the network
learns there, and deeper down, comes up through an upsampling; where that gives its mean over space
instead, all that it knew of where things are is gone, and the network goes on with the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from math import nan
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from equibench.cases.suite import Case, Suite, images_in_units
from equibench.errors import DataError, ModelError
from equibench.evaluation.model_device import device_of
from equibench.inference.forward_pass import call
from equibench.inference.model_outputs import frame_of, shape
from equibench.inference.placement import placed
from equibench.inference.precision import Precision, numerics
from equibench.layers.layer_calls import hookable, layers
from equibench.loading.suites import case_names, suite_of
from equibench.measurement.batch_outputs import truth_beside
from equibench.measurement.batching import load_case
from equibench.measurement.row_table import case_values, suite_metrics

__all__ = ["ablate_levels"]

_UPSAMPLING = frozenset(
    {
        *("interpolate", "pixel_shuffle", "grid_sample", "fold"),
        *(f"conv_transpose{d}d" for d in (1, 2, 3)),
        *(f"max_unpool{d}d" for d in (1, 2, 3)),
    }
)
"""Functions of PyTorch that make maps larger."""


def ablate_levels(
    model: Callable[[Tensor], Tensor],
    data: Any,
    *,
    targets: Any = None,
    limit: int | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    batch: int = 4,
    label: str | None = None,
) -> pd.DataFrame:
    """Measure a network as it is, and with all from one level down replaced by its mean.

    >>> eb.ablate_levels(eb.load_model("unet-baseline,width=0.125"), "mri-sample")  # doctest: +SKIP

    Args:
        model: any module whose upsampling is a layer or a function of PyTorch; it is put back.
        data, targets: a suite or images, as ``evaluate`` takes them.
        limit: the first so many cases.
        batch: images per forward pass.
        label: what messages call the model.

    Returns:
        One line for the network as it is, with stride 1, and one for each level below, the mean
        over the cases in each:

        ``stride``: of the level, in pixels of the image.
        ``maps``: the shape H×W of what is brought up.
        ``change``: NMSE of the output against that of the network as it is.
        the suite's metrics by their columns, where there is a ground truth.
        ``dead``: the share of channels of the level's activations that are one value throughout
        all images; NaN where there is no activation of ``torch.nn`` there.

    Raises:
        UsageError: no module, or one of TorchScript.
        ModelError: the model raises, or nothing in it is seen to make maps larger.
        DataError: a case cannot be loaded.
    """
    name, levels = label or type(model).__name__, _Levels(hookable(model))
    suite = suite_of(data, targets)
    cases = case_names(suite, limit)
    conditions = {"device": device, "precision": precision, "batch": batch}
    resolved = device_of(model, lambda: _case(suite, cases[0]).input[:1], name, **conditions)
    found: list[dict[str, float]] = []
    with (
        placed(model, resolved, precision) as forward,
        numerics(precision),
        torch.compiler.set_stance("force_eager"),  # compiled code calls no new hooks
        levels.listening(),
    ):
        for case in (_case(suite, each) for each in cases):
            where = f"{suite.label}, case {case.name}"
            outputs = partial(_outputs, forward, case, resolved, batch, name, where)
            found += _of_case(levels, suite, case, outputs, name)
    if not levels.maps:
        raise ModelError(
            f"{name} has no level to take away: no layer and no function of PyTorch that it calls "
            "makes maps larger"
        )
    table = pd.DataFrame(found).groupby("stride", as_index=False).mean()
    table.insert(1, "maps", [levels.maps.get(stride, "") for stride in table["stride"]])
    return table.assign(dead=[levels.dead(stride) for stride in table["stride"]])


def _of_case(
    levels: "_Levels", suite: Suite, case: Case, outputs: Callable[[], Tensor], label: str
) -> Iterator[dict[str, float]]:
    """A line for the network as it is, and for each level that it then turns out to have."""
    levels.silenced = None
    whole, labels = outputs(), frame_of(levels.model).labels
    place = f"{label} on {suite.label}, case {case.name}"
    truth = case.target
    if truth is not None:
        truth = truth_beside(truth, whole.shape[1], labels, place)
        if truth.shape != whole.shape:
            raise ModelError(
                f"{place}: the output is {shape(whole)}, and the ground truth {shape(truth)}: set "
                f"its number of output channels, or out.channels={truth.shape[1]}"
            )
    metrics = [each for each in suite_metrics(suite) if each.unfit(whole, labels) is None]
    for stride in (1, *sorted(levels.maps)):
        levels.silenced = None if stride == 1 else stride
        mine = whole if stride == 1 else outputs()
        change = (mine - whole).square().sum() / whole.square().sum()
        line = {"stride": stride, "change": float(change)}
        if truth is not None:
            moved = mine if labels else images_in_units(case, mine, suite.clamp)
            values = case_values(suite, metrics, moved, truth)
            line |= {metric.column: float(value) for metric, value in values}
        yield line


def _outputs(
    forward: Callable[[Tensor], Tensor],
    case: Case,
    device: torch.device,
    batch: int,
    label: str,
    where: str,
) -> Tensor:
    """Outputs (N, C, H, W) for a case, on the CPU in float64."""
    parts = [
        call(forward, part.to(device), label, where) for part in torch.split(case.input, batch)
    ]
    return torch.cat(parts).double().cpu()


def _case(suite: Suite, name: str) -> Case:
    case = load_case(suite, name)
    if isinstance(case, DataError):
        raise case
    return case


class _Levels(TorchFunctionMode):
    """Sees what a network brings up from its levels, and silences one of them.

    Args:
        maps: shape of what comes up, by the stride of the level.
        silenced: the stride of the level whose maps are replaced by their mean.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.maps: dict[int, str] = {}
        self.silenced: int | None = None
        self.size = 0
        self.channels: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hook the layers, and watch the functions that are called between them."""
        with ExitStack() as stack:
            first = self.model.register_forward_pre_hook(self._begin, with_kwargs=True)
            stack.callback(first.remove)
            for name, layer in layers(self.model):
                handle = layer.register_forward_hook(partial(self._called, name), with_kwargs=True)
                stack.callback(handle.remove)
            stack.enter_context(self)
            yield

    def dead(self, stride: int) -> float:
        """The share of channels of a level's activations that have one value only."""
        ranges = [r for (_, level), r in self.channels.items() if level == stride]
        same = [low == high for low, high in ranges]
        return float(torch.cat(same).double().mean()) if same else nan

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in _UPSAMPLING:
            return self._brought_up((args, kwargs), output)
        return output

    def _begin(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.size = _maps((args, kwargs))[0].shape[-1]

    def _called(self, name: str, layer: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if type(layer).__module__ == "torch.nn.modules.activation" and _maps(output):
            self._note(name, output)
        return self._brought_up((args, kwargs), output)

    def _brought_up(self, inputs: Any, output: Any) -> Any:
        """What a layer or a function gives, or its mean if it brings the silenced level up."""
        maps = _maps(inputs)
        if not maps or not isinstance(output, Tensor) or output.ndim != maps[0].ndim:
            return output
        small, large = maps[0].shape[2:], output.shape[2:]
        if any(2 * n > m for n, m in zip(small, large, strict=True)):
            return output
        stride = round(self.size / small[-1])
        self.maps[stride] = "×".join(map(str, small))
        if stride != self.silenced:
            return output
        return output.mean(dim=tuple(range(2, output.ndim)), keepdim=True).expand_as(output).clone()

    def _note(self, name: str, output: Tensor) -> None:
        """The range of each channel of an activation, over all images so far."""
        flat = output.detach().transpose(0, 1).flatten(1)
        key = name, round(self.size / output.shape[-1])
        low, high = flat.amin(dim=1), flat.amax(dim=1)
        if key in self.channels:
            low, high = low.minimum(self.channels[key][0]), high.maximum(self.channels[key][1])
        self.channels[key] = low, high


def _maps(values: Any) -> list[Tensor]:
    """The maps (B, C, *S) among some values."""
    leaves = tree_leaves(values)
    return [v for v in leaves if isinstance(v, Tensor) and v.ndim > 2 and v.is_floating_point()]
