"""Training a registered network on a suite, with PyTorch Lightning.

Whatever is random follows from the seed, the epoch and the number of the batch, so that an
interrupted training that is resumed ends in the same weights as one that was not.
"""

import hashlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from equibench.cases.suite import Suite, data_range, in_units
from equibench.errors import EquibenchError, ModelError, UsageError
from equibench.foundation.seeds import generator
from equibench.inference.forward_pass import call, out_of_memory
from equibench.inference.model_outputs import Wrapper, shape
from equibench.inference.precision import resolve_device
from equibench.loading.load import load_spec
from equibench.loading.models import seeded
from equibench.loading.weights import as_half, save_weights, weights_file
from equibench.measurement.row_table import suite_metrics
from equibench.models.recipes import Recipe
from equibench.models.training_data import TrainingData
from equibench.registry.provenance import environment
from equibench.registry.specs import Spec
from equibench.runs.fingerprint import changes

__all__ = ["Hardware", "train"]

SETTLING = 32
"""Batches that the statistics of norms are averaged over before they are frozen."""


@dataclass(frozen=True)
class Hardware:
    """What a training runs on, as Lightning's ``Trainer`` takes it.

    Args:
        precision: ``32-true``, ``16-mixed``, ``bf16-mixed`` …
        workers: processes that load images, for each device.
    """

    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    workers: int = 0


def train(
    model: Spec,
    suite: Spec,
    recipe: Recipe,
    out: Path,
    *,
    preset: str = "",
    seed: int = 0,
    half: bool = False,
    data: Mapping[str, str] | None = None,
    hardware: Hardware | None = None,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Train, or go on where an equal training stopped, and write the weights.

    Args:
        model: a registered network from (B, C, H, W) to (B, C', H, W).
        suite: with a ``train`` and a ``validation`` part.
        out: a safetensors file; the checkpoint stands beside it until the training has ended.
        preset: what the recipe is called.
        seed: of the initialisation, the order of images, crops and shifts.
        half: store weights as float16, rounded before the last validation: half the size.
        data: data roots by name of the suite.
        progress: show a progress bar; None shows it on a terminal.

    Returns:
        What the file says of the training: model, suite, recipe, seed, versions, commit, and the
        mean of each validation metric.

    Raises:
        UsageError: what cannot be trained, or ``out`` belongs to another training.
        ModelError: the network raises, returns what cannot be learnt from, or diverges.
        DataError: an image cannot be loaded.
        KeyboardInterrupt: the checkpoint holds all finished epochs.
    """
    hardware = hardware or Hardware()
    if out.suffix != ".safetensors":
        raise UsageError(
            f"weights are written as safetensors: choose {out.with_suffix('.safetensors')}"
        )
    if out.exists():
        raise UsageError(f"{out} exists already: delete it or choose another --out")
    loaded = load_spec(model, seed)
    if not isinstance(loaded.model, nn.Module):
        raise UsageError(
            f"{loaded.label} is a plain callable: only a torch.nn.Module can be trained"
        )
    images = TrainingData(suite, data or {}, recipe, hardware.workers, seed)
    trained: dict[str, Any] = {
        "model": model.reference,
        "arguments": dict(model.arguments),
        **_origin(model),
        "suite": images.training.name,
        "data": {
            "train": images.training.configuration,
            "validation": images.validation.configuration,
        },
        "preset": preset,
        "recipe": recipe.model_dump(),
        "seed": seed,
        "precision": hardware.precision,
    }
    checkpoint = out.with_suffix(".ckpt")
    resume = _resumable(checkpoint, trained)
    module = _Training(loaded.model, loaded.label, images.validation, recipe, seed, trained)
    bar = sys.stderr.isatty() if progress is None else progress
    with _quiet(), seeded(seed):
        trainer = pl.Trainer(
            max_epochs=recipe.epochs,
            accelerator=_accelerator(hardware.accelerator),
            devices=hardware.devices,
            strategy=hardware.strategy,
            precision=hardware.precision,  # type: ignore[arg-type]
            gradient_clip_val=recipe.clip or None,
            callbacks=[_Checkpoint(checkpoint), *([] if bar else [_Lines()])],
            enable_progress_bar=bar,
            enable_model_summary=False,
            logger=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # ours knows the seed
            default_root_dir=out.parent,
        )
        with _one_message(loaded.label):
            trainer.fit(module, images, ckpt_path=resume, weights_only=True)
            if half:
                _round(loaded.model)
            trainer.validate(module, images, verbose=False)
    measured = {name.removeprefix("val_"): float(v) for name, v in trainer.callback_metrics.items()}
    here = environment(trainer.strategy.root_device)
    trained |= {"validation": measured, "versions": here["versions"], "commit": here["commit"]}
    if trainer.is_global_zero:
        save_weights(_bare(loaded.model), out, trained, half=half)
        checkpoint.unlink(missing_ok=True)
    return trained


class _Training(pl.LightningModule):
    """A network, its loss and what it is validated by.

    Args:
        validation: names the metrics, their data ranges and the clamp of outputs.
        described: the training, for checkpoints.
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
        self.network, self.label, self.suite = network, label, validation
        self.recipe, self.seed, self.described = recipe, seed, described

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
        rate = recipe.learning_rate * recipe.lr_factor ** (epoch // recipe.lr_step)
        if recipe.warmup:
            begun = epoch - (recipe.freeze_norm if frozen else 0)
            steps = begun * int(self.trainer.num_training_batches) + number + 1
            rate *= min(1.0, steps / recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate

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
        outputs = self._outputs(images, f"{self.suite.label}, batch {number}")
        if outputs.shape != targets.shape:
            raise ModelError(
                f"{self.label} returned {shape(outputs)} on {self.suite.label}, where the ground "
                f"truth is {shape(targets)}: set its number of output channels"
            )
        if self.suite.clamp is not None:
            outputs = outputs.clamp(-self.suite.clamp, self.suite.clamp)
        loss = mse_loss(outputs, targets)
        self.log("loss", loss, on_epoch=True, on_step=False, prog_bar=True, batch_size=len(images))
        return loss

    def on_train_epoch_end(self) -> None:
        if not self.trainer.callback_metrics["loss"].isfinite():
            raise ModelError(
                f"{self.label}: the loss of epoch {self.current_epoch + 1} is no finite number; "
                "take a smaller --learning-rate"
            )

    def validation_step(self, case: Mapping[str, Tensor], number: int) -> None:
        """Measure one case as the harness does: in the units of its ground truth, as a whole."""
        place = f"{self.suite.label}, validation case {number}"
        parts = torch.split(case["input"], self.recipe.batch)
        outputs = torch.cat([self._outputs(part, place) for part in parts]).double()
        outputs = in_units(outputs, self.suite.clamp, case["scale"], case["offset"])
        target = case["target"]
        for metric in suite_metrics(self.suite):
            r = data_range(self.suite.data_range.get(metric.name, "max"), target)
            truth = metric.prepare(target, r.expand(len(target)))
            value = metric.value(metric.partials(truth, outputs, None).sum(dim=0), r)
            self.log(
                f"val_{metric.column}",
                value.float(),
                prog_bar=metric.name == "psnr",
                batch_size=1,
                sync_dist=True,
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["equibench"] = self.described

    def _outputs(self, images: Tensor, place: str) -> Tensor:
        return call(self.network, images, self.label, place)

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


class _Checkpoint(ModelCheckpoint):
    """The last finished epoch, in one file."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            file.parent,
            file.stem,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )


class _Lines(pl.Callback):
    """One line an epoch, where no progress bar can be shown."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            values = trainer.callback_metrics
            shown = " · ".join(f"{name} {float(values[name]):.4g}" for name in sorted(values))
            epochs = f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
            print(f"epoch {epochs}: {shown}", file=sys.stderr, flush=True)


def _origin(model: Spec) -> dict[str, str]:
    """What a network is beside its registered name: treated, and from which weights."""
    origin = {} if model.mend is None else {"mend": model.mend}
    if model.weights is not None:
        content = weights_file(model).read_bytes()
        origin |= {"from": model.weights, "from_sha256": hashlib.sha256(content).hexdigest()}
    return origin


def _bare(network: nn.Module) -> nn.Module:
    """The network inside treatments: weights keep the names that they have without them."""
    inner: Any = network
    while isinstance(inner, Wrapper):
        inner = inner.model
    if not isinstance(inner, nn.Module):
        raise UsageError(f"{type(inner).__name__} is a plain callable: nothing in it is trained")
    return inner


def _accelerator(name: str) -> str:
    """``auto`` takes here what it takes everywhere."""
    return resolve_device("auto").type if name == "auto" else name


def _resumable(checkpoint: Path, described: Mapping[str, Any]) -> Path | None:
    """The checkpoint of an equal training, if there is one.

    Raises:
        UsageError: it cannot be read, or is of another training.
    """
    if not checkpoint.exists():
        return None
    remedy = f"delete {checkpoint} to start anew, or choose another --out"
    try:
        before = torch.load(checkpoint, map_location="cpu", weights_only=True)["equibench"]
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise UsageError(f"cannot resume from {checkpoint} ({reason}): {remedy}") from error
    found = list(changes(before, described))
    if found:
        raise UsageError(f"{checkpoint} is of another training: {'; '.join(found[:3])}; {remedy}")
    return checkpoint


@torch.no_grad()
def _round(network: nn.Module) -> None:
    """Leave of every weight what float16 holds."""
    for value in network.parameters():
        value.copy_(as_half(value))


@contextmanager
def _one_message(label: str) -> Iterator[None]:
    """Errors of a training as ours, and Lightning's exit at an interrupt as an interrupt."""
    try:
        yield
    except EquibenchError:
        raise
    except SystemExit as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        if out_of_memory(error):
            raise ModelError(
                f"{label} runs out of memory: take a smaller --batch or --crop"
            ) from error
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise UsageError(f"{label} cannot be trained here: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice on loaders and its list of devices from the terminal."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
