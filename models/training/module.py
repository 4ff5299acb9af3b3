"""A network as Lightning trains it: loss, rate, validation; checkpoints and lines of progress."""

import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from math import cos, isnan, pi
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from equibench.cases.suite import Suite
from equibench.errors import ModelError
from equibench.foundation.atomic_files import replacing
from equibench.foundation.seeds import generator
from equibench.inference.forward_pass import call
from equibench.models.training.circular_gradients import CircularGradients
from equibench.models.training.recipes import Recipe
from equibench.models.training.skip_dropout import decoders, skip_dropout
from equibench.models.training.tasks import TASKS

__all__ = ["AtomicCheckpoints", "Checkpoint", "Lines", "TrainingModule"]

SETTLING = 32
"""Batches that the statistics of norms are averaged over before they are frozen."""


_ADAPTER = re.compile(r"\b(in|out)\.\w+")


class TrainingModule(pl.LightningModule):
    """A network, its loss and what it is validated by.

    Args:
        validation: names the metrics, their data ranges and the clamp of outputs.
        described: the training, for checkpoints.

    ``history`` has the validation metrics after every epoch.

    Raises:
        UsageError: the recipe takes skip connections away, and those of the network are not known.
    """

    def __init__(
        self,
        network: nn.Module,
        label: str,
        validation: Suite,
        recipe: Recipe,
        seed: int,
        described: Mapping[str, Any],
    ) -> None:
        super().__init__()
        if recipe.skip_dropout:
            decoders(network)  # refused before the first image is drawn
        self.network, self.label, self.suite = network, label, validation
        self.recipe, self.seed, self.described = recipe, seed, described
        self.task = TASKS[recipe.task]
        self.history: dict[str, list[float]] = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.recipe.learning_rate)

    def on_train_batch_start(self, batch: object, number: int) -> None:
        """Set the rate, and what an epoch starts with: that hook is skipped on resumption."""
        recipe, epoch, optimizer = self.recipe, self.current_epoch, self.trainer.optimizers[0]
        frozen = 0 < recipe.freeze_norm <= epoch
        if number == 0:
            torch.manual_seed(int(self._generator("network").integers(2**31)))
            if recipe.warmup and frozen and epoch == recipe.freeze_norm:
                self._settle_norms()
                optimizer.state.clear()
            if frozen:
                for norm in self._norms():
                    norm.eval()
        each = int(self.trainer.num_training_batches)
        done = epoch * each + number
        if recipe.schedule == "cosine":
            rate = recipe.learning_rate * 0.5 * (1 + cos(pi * done / (recipe.epochs * each)))
        else:
            rate = recipe.learning_rate * recipe.lr_factor ** self._falls()
        if recipe.warmup:
            begun = recipe.freeze_norm * each if frozen else 0
            rate *= min(1.0, (done - begun + 1) / recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate

    def _falls(self) -> int:
        """How often the rate has been lowered by steps."""
        milestones, epoch = self.recipe.milestones, self.current_epoch
        if milestones:
            return sum(epoch >= milestone for milestone in milestones)
        return epoch // self.recipe.lr_step

    def _norms(self) -> list[nn.Module]:
        kind = nn.modules.batchnorm._BatchNorm
        return [module for module in self.network.modules() if isinstance(module, kind)]

    @torch.no_grad()
    def _settle_norms(self) -> None:
        """Statistics of the network as it now is: running ones lag behind its weights."""
        momenta = [norm.momentum for norm in self._norms()]
        for norm in self._norms():
            norm.reset_running_stats()  # type: ignore[operator]
            norm.momentum = None  # type: ignore[assignment]
        loader = self.trainer.train_dataloader
        assert loader is not None
        for number, (images, targets) in zip(range(SETTLING), loader, strict=False):
            images, _ = self._varied(
                images.to(self.device), targets.to(self.device), self._generator(f"norms {number}")
            )
            self._outputs(images, self.suite.label)
        for norm, momentum in zip(self._norms(), momenta, strict=True):
            norm.momentum = momentum

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        images, targets = self._varied(*batch, self._generator(number))
        with CircularGradients(), self._skips_lost(len(images), number):
            outputs = self._outputs(images, f"{self.suite.label}, batch {number}")
        loss = self.task.loss(self.suite, outputs, targets, self.label)
        self.log("loss", loss, on_epoch=True, on_step=False, prog_bar=True, batch_size=len(images))
        return loss

    def _skips_lost(self, images: int, number: int) -> AbstractContextManager[None]:
        recipe = self.recipe
        if not recipe.skip_dropout or self.current_epoch / recipe.epochs >= recipe.skip_until:
            return nullcontext()
        random = self._generator(f"skips {number}")
        return skip_dropout(self.network, recipe.skip_dropout, images, random)

    def on_train_epoch_end(self) -> None:
        if not self.trainer.callback_metrics["loss"].isfinite():
            raise ModelError(
                f"{self.label}: the loss of epoch {self.current_epoch + 1} is no finite number; "
                "take a smaller --learning-rate"
            )

    def validation_step(self, case: Mapping[str, Tensor], number: int) -> None:
        """Measure one case as the harness does: in the units of its ground truth, as a whole."""
        where = f"{self.suite.label}, validation case {number}"
        parts = torch.split(case["input"], self.recipe.batch)
        outputs = torch.cat([self._outputs(part, where) for part in parts])
        for metric, value in self.task.quality(self.suite, outputs, case, self.label):
            self.log(
                f"val_{metric.column}",
                value.float(),
                prog_bar=metric.name == self.task.shown,
                batch_size=1,
                sync_dist=True,
            )

    def on_validation_epoch_end(self) -> None:
        """Before the checkpoint is written: what it held before is the better one."""
        values = self.validated()
        for name, value in values.items():
            if isnan(value):
                raise ModelError(
                    f"{self.label}: the {name} of its validation after epoch "
                    f"{self.current_epoch + 1} is no number; take a smaller --learning-rate"
                )
        if self.trainer.state.fn == TrainerFn.FITTING:
            for name, value in values.items():
                self.history.setdefault(name, []).append(value)

    def validated(self) -> dict[str, float]:
        """Mean validation metrics, as they were last measured."""
        values = self.trainer.callback_metrics.items()
        return {n.removeprefix("val_"): float(v) for n, v in values if n.startswith("val_")}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["equibench"], checkpoint["history"] = self.described, self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint.get("history", {})

    def _outputs(self, images: Tensor, where: str) -> Tensor:
        try:
            return call(self.network, images, self.label, where)
        except ModelError as error:
            if _ADAPTER.search(str(error)) is None:
                raise
            raise ModelError(
                f"{error}; but train takes no adapters: let the network do that itself"
            ) from error

    def _generator(self, name: object) -> Any:
        return generator("train", self.seed, self.current_epoch, self.global_rank, name)

    def _varied(self, images: Tensor, targets: Tensor, random: Any) -> tuple[Tensor, Tensor]:
        """A batch, shifted and cropped as the recipe says, input and target alike."""
        if (most := self.recipe.error_augment) > 1:
            factors = random.uniform(1, most, (len(images), 1, 1, 1)).astype("float32")
            images = targets + torch.from_numpy(factors).to(images) * (images - targets)
        if reach := self.recipe.shift_augment:
            shift = [int(k) for k in random.integers(-reach, reach, 2)]
            images, targets = (torch.roll(x, shift, dims=(-2, -1)) for x in (images, targets))
        if side := self.recipe.crop:
            top, left = (int(random.integers(size - side + 1)) for size in images.shape[-2:])
            images, targets = (
                x[..., top : top + side, left : left + side] for x in (images, targets)
            )
        return images, targets


class Checkpoint(ModelCheckpoint):
    """The last finished epoch, in one file."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            file.parent,
            file.stem,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole, wherever the training is killed: the last good one stays."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with replacing(Path(path)) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


class Lines(pl.Callback):
    """One line an epoch, where no progress bar can be shown."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            values = trainer.callback_metrics
            shown = " · ".join(f"{name} {float(values[name]):.4g}" for name in sorted(values))
            epochs = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
            print(f"epoch {epochs}: {shown}", file=sys.stderr, flush=True)
