"""The equivariance error as a metric of torchmetrics: states, reduction over processes, plots."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from equibench.cases.suite import Case, ImageCases
from equibench.guard.assertion import statistic
from equibench.inference.precision import Precision
from equibench.integrations.training import FEW_SHIFTS, rows_of, settings_for
from equibench.metrics.chosen import metric_called
from equibench.statistics.summary import columns

__all__ = ["ShiftConsistency"]


class ShiftConsistency(Metric):
    """How far a network is from commuting with circular shifts, over all images it is updated with.

    >>> import torch
    >>> from equibench.integrations.torchmetrics import ShiftConsistency
    >>> metric = ShiftConsistency("nmse", shifts="random:n=10,max=16")
    >>> for images in torch.randn(2, 3, 1, 32, 32):
    ...     metric.update(torch.nn.MaxPool2d(3, 1, 1), images)
    >>> bool(metric.compute() > 0)
    True

    The values are those of ``equibench.evaluate`` for the same images, one after the other, with
    the same shifts. As there, shifts are drawn by the number of an image, which with several
    processes is counted as a ``DistributedSampler`` deals images out: in turn. Metrics of one
    collection that differ in their statistic alone share their passes through the network.

    Args:
        metric: by which outputs are compared; any that is registered (``equibench ls metrics``).
        statistic: ``mean``, ``worst``, ``median`` or a quantile such as ``q95`` over images and
            shifts; ``worst`` and quantiles are towards the worse end.
        shifts: a shift plan, as on the command line.
        precision: ``fp32`` is IEEE float32, ``fp64`` casts the network while it is measured.
        seed: of the shifts.
        kwargs: of ``torchmetrics.Metric``.

    Raises:
        UsageError: a name or a shift plan that does not exist.
    """

    is_differentiable = False
    full_state_update = False

    values: list[Tensor]
    seen: Tensor

    def __init__(
        self,
        metric: str = "nmse",
        statistic: str = "mean",
        *,
        shifts: str = FEW_SHIFTS,
        precision: Precision = "fp32",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.metric, self.statistic = metric_called(metric), statistic
        self.options = {"shifts": shifts, "precision": precision, "seed": seed}
        settings_for(torch.nn.Identity(), **self.options)
        self._of(np.zeros(1))
        self.set_dtype(torch.float64)
        self.add_state("values", default=[], dist_reduce_fx="cat")
        self.add_state("seen", default=torch.tensor(0), dist_reduce_fx="sum")
        self._before = 0

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """That of the metric by which outputs are compared."""
        return self.metric.higher_is_better

    @property
    def plot_lower_bound(self) -> float | None:  # type: ignore[override]
        """The least value, where there is one."""
        return self._bound(0)

    @property
    def plot_upper_bound(self) -> float | None:  # type: ignore[override]
        """The largest value, where there is one."""
        return self._bound(1)

    def update(self, model: Callable[[Tensor], Tensor], images: Tensor) -> None:
        """Measure a network on images (B, C, H, W); it is left as it was.

        Raises:
            ModelError: the network raises, or returns what cannot be measured.
        """
        first = self._before + int(self.seen)
        suite = _Numbered(images, [_dealt(first + i) for i in range(len(images))], self.metric.name)
        rows = rows_of(model, suite, suite.cases(), settings_for(model, **self.options))
        found = rows.loc[rows["draw"] > 0, f"eq_{self.metric.column}"].to_numpy(np.float64)
        self.values.append(torch.tensor(found, device=self.device))
        self.seen += len(images)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Update, and give the value of these images alone."""
        self._before = int(self.seen)  # states are empty while a batch is measured by itself
        try:
            return super().forward(*args, **kwargs)
        finally:
            self._before = 0

    def compute(self) -> Tensor:
        """The statistic of all values so far, a scalar in float64."""
        values = dim_zero_cat(self.values).cpu().numpy()
        return torch.tensor(self._of(values), dtype=torch.float64, device=self.device)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> Any:
        """Plot one value, or several of ``forward`` or ``compute`` in their order.

        Returns:
            Figure and axes of matplotlib.
        """
        return self._plot(val, ax)

    def _of(self, values: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
        (column,) = (c for c in columns([f"eq_{self.metric.column}"]) if c.shifted)
        return statistic(values, self.statistic, column, np.ones(len(values), np.int64))

    def _bound(self, end: int) -> float | None:
        bound = self.metric.bounds[end]
        return bound if np.isfinite(bound) else None


class _Numbered(ImageCases):
    """Images (B, C, H, W) whose cases have the numbers that they have in the whole data set."""

    def __init__(self, images: Tensor, numbers: Sequence[int], metric: str) -> None:
        super().__init__(images.detach(), metrics=(metric,))
        self.label, self.numbers = self.name, {f"{n:05d}": i for i, n in enumerate(numbers)}

    def cases(self) -> list[str]:
        return list(self.numbers)

    def load(self, name: str) -> Case:
        i = self.numbers[name]
        return Case(name=name, input=self.images[i : i + 1])


def _dealt(number: int) -> int:
    """What the ``number``-th image of this process is the number of, over all processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return number
    return number * torch.distributed.get_world_size() + torch.distributed.get_rank()
