"""The equivariance error during training with PyTorch Lightning, as a callback."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from equibench.errors import UsageError
from equibench.integrations.training import FEW_SHIFTS, shift_consistency
from equibench.metrics.chosen import metric_called

__all__ = ["ShiftConsistency"]


class ShiftConsistency(Callback):
    """Measure a network every few epochs, after validation, and log what comes of it.

    The numbers go to whatever logger the trainer has, as ``shift/eq_nmse_mean``,
    ``shift/eq_nmse_worst`` and so on for each metric, with ``shift/seconds``: what measuring took.
    When training ends, a line says what share of its time that was. With several processes the
    first one measures, and the others take its numbers. The network is left as it was; while it is
    measured it knows of no trainer.

    Args:
        data: a suite, its name, or images, as ``evaluate`` takes them; None for the first of the
            trainer's validation data.
        every_n_epochs: how often.
        limit: the first so many cases.
        shifts: a shift plan, as on the command line.
        metrics: what outputs are compared by; else the suite's own.
        monitor: the number that ``early_stopping`` and ``checkpoint`` watch.
        input_key, target_key: where an item of the data has its image and its ground truth.
        network: the network in the module, where calling the module itself does something else.

    Raises:
        UsageError: ``monitor`` is no number of a metric.
    """

    def __init__(
        self,
        data: Any = None,
        *,
        every_n_epochs: int = 1,
        limit: int | None = 4,
        shifts: str = FEW_SHIFTS,
        metrics: Sequence[str] = (),
        monitor: str = "eq_nmse_worst",
        input_key: str | int | None = None,
        target_key: str | int | None = None,
        network: Callable[[pl.LightningModule], Callable[[Tensor], Tensor]] = lambda module: module,
    ) -> None:
        self.data, self.every_n_epochs, self.network = data, every_n_epochs, network
        self.monitor, self.mode = f"shift/{monitor}", _mode(monitor)
        self.options: dict[str, Any] = {"limit": limit, "shifts": shifts, "metrics": metrics}
        self.options |= {"input_key": input_key, "target_key": target_key}
        self.measured, self.seconds, self.begun = 0, 0.0, 0.0

    def early_stopping(self, patience: int = 3, **options: Any) -> EarlyStopping:
        """Lightning's callback that ends training once the monitored number gets no better.

        Args:
            patience: measurements without an improvement, not epochs.
            options: of Lightning's ``EarlyStopping``.
        """
        every = self.every_n_epochs
        return EarlyStopping(
            self.monitor, patience=patience * every, mode=self.mode, strict=every == 1, **options
        )

    def checkpoint(self, dirpath: str | None = None, **options: Any) -> ModelCheckpoint:
        """Lightning's callback that keeps the checkpoint with the best monitored number.

        Args:
            dirpath: where; else where the trainer keeps checkpoints.
            options: of Lightning's ``ModelCheckpoint``.
        """
        given: dict[str, Any] = {
            "filename": "most-robust",
            "every_n_epochs": self.every_n_epochs,
        } | options
        return ModelCheckpoint(dirpath, monitor=self.monitor, mode=self.mode, **given)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count the time."""
        self.measured, self.seconds, self.begun = 0, 0.0, perf_counter()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure, when it is time, and log."""
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING or not due:
            return
        start = perf_counter()
        found: Any = None
        if trainer.is_global_zero:
            found = self._measure(trainer, pl_module)
        found = trainer.strategy.broadcast(found)
        if isinstance(found, Exception):  # on all processes, or the others would wait for ever
            raise found
        self.measured, self.seconds = self.measured + 1, self.seconds + perf_counter() - start
        named = {f"shift/{name}": value for name, value in found.items()}
        pl_module.log_dict(named, sync_dist=trainer.world_size > 1)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what measuring has cost."""
        if self.measured:
            share = self.seconds / max(perf_counter() - self.begun, self.seconds)
            rank_zero_info(
                f"equibench: {self.measured} measurements of shift consistency took "
                f"{self.seconds:.1f} s, {share:.0%} of training"
            )

    def _measure(
        self, trainer: pl.Trainer, module: pl.LightningModule
    ) -> dict[str, float] | Exception:
        data = _validation(trainer) if self.data is None else self.data
        module.trainer = None  # what a network holds is put back: not the trainer and its data
        try:
            return shift_consistency(self.network(module), data, **self.options)
        except Exception as error:
            return error
        finally:
            module.trainer = trainer


def _validation(trainer: pl.Trainer) -> Any:
    loaders = trainer.val_dataloaders
    first = next(iter(loaders), None) if isinstance(loaders, list | tuple) else loaders
    if first is None:
        raise UsageError("ShiftConsistency: the trainer has no validation data: give it data=…")
    return first


def _mode(monitor: str) -> Literal["min", "max"]:
    """Whether the best of a number is the least or the largest."""
    kind, _, rest = monitor.partition("_")
    name, _, statistic = rest.rpartition("_")
    if kind not in ("eq", "delta") or statistic not in ("mean", "worst"):
        raise UsageError(
            f"monitor={monitor!r} is no number of a metric: take eq_nmse_worst, eq_nmse_mean, "
            "eq_ssim_mean, delta_psnr_mean, …"
        )
    metric = metric_called(name.replace("_", "-"))
    return "max" if kind == "eq" and metric.higher_is_better else "min"
