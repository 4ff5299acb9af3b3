"""Training a registered network on a suite, with PyTorch Lightning.

Whatever is random follows from the seed, the epoch and the number of the batch, so that an
interrupted training that is resumed ends in the same weights as one that was not.
"""

import hashlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from equibench.errors import EquibenchError, ModelError, UsageError
from equibench.foundation.atomic_files import writable
from equibench.foundation.file_locks import locked
from equibench.inference.forward_pass import out_of_memory
from equibench.inference.model_outputs import Wrapper
from equibench.inference.precision import resolve_device
from equibench.loading.load import load_spec
from equibench.loading.models import seeded
from equibench.loading.weights import as_half, save_weights, weights_file
from equibench.models.training.data import TrainingData
from equibench.models.training.module import AtomicCheckpoints, Checkpoint, Lines, TrainingModule
from equibench.models.training.recipes import Recipe
from equibench.registry.provenance import environment
from equibench.registry.specs import Spec
from equibench.runs.fingerprint import changes

__all__ = ["Hardware", "train"]


@dataclass(frozen=True)
class Hardware:
    """What a training runs on, as Lightning's ``Trainer`` takes it.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        precision: ``32-true``, ``16-mixed``, ``bf16-mixed`` …
        workers: processes that load images, for each device.
    """

    device: str = "auto"
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
        mean of each validation metric, at the end and after every epoch.

    Raises:
        UsageError: what cannot be trained, or ``out`` belongs to another training.
        ModelError: the network raises, returns what cannot be learnt from, or diverges.
        DataError: an image cannot be loaded.
        KeyboardInterrupt: the checkpoint holds all finished epochs.
    """
    if out.suffix != ".safetensors":
        raise UsageError(
            f"weights are written as safetensors: choose {out.with_suffix('.safetensors')}"
        )
    if out.exists():
        raise UsageError(f"{out} exists already: delete it or choose another --out")
    hardware = hardware or Hardware()
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
        "source_sha256": loaded.provenance["source_sha256"],
        "initial_sha256": loaded.provenance["state_sha256"],
    }
    module = TrainingModule(loaded.model, loaded.label, images.validation, recipe, seed, trained)
    with _alone(out), _quiet(), seeded(seed), _one_message(loaded.label):
        return _fit(module, images, out, hardware, half, progress)


def _fit(
    module: TrainingModule,
    images: TrainingData,
    out: Path,
    hardware: Hardware,
    half: bool,
    progress: bool | None,
) -> dict[str, Any]:
    checkpoint = out.with_suffix(".ckpt")
    resume = _resumable(checkpoint, module.described)
    bar = sys.stderr.isatty() if progress is None else progress
    device = resolve_device(hardware.device)
    trainer = pl.Trainer(
        max_epochs=module.recipe.epochs,
        accelerator=device.type,
        devices=[device.index] if device.index else hardware.devices,
        strategy=hardware.strategy,
        precision=hardware.precision,  # type: ignore[arg-type]
        gradient_clip_val=module.recipe.clip or None,
        callbacks=[Checkpoint(checkpoint), *([] if bar else [Lines()])],
        plugins=[AtomicCheckpoints()],
        enable_progress_bar=bar,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # ours knows the seed
        default_root_dir=out.parent,
    )
    trainer.fit(module, images, ckpt_path=resume, weights_only=True)
    if half:
        _round(module.network)
    trainer.validate(module, images, verbose=False)
    here = environment(trainer.strategy.root_device)
    done = {
        "validation": module.validated(),
        "history": module.history,
        "versions": here["versions"],
        "commit": here["commit"],
    }
    trained = {**module.described, **done}
    if trainer.is_global_zero:
        save_weights(_bare(module.network), out, trained, half=half)
        checkpoint.unlink(missing_ok=True)
    return trained


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """See that ``out`` can be written, and by nobody else meanwhile.

    Raises:
        UsageError: another training writes there.
        EquibenchError: nobody can write there.
    """
    lock = out.with_name(f".{out.name}.lock")
    with ExitStack() as held:
        with writable(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(locked(lock))
            except BlockingIOError:
                raise UsageError(
                    f"another training writes {out}: wait for it or choose another --out"
                ) from None
        yield


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
    found = [change for change in found if "sha256 was" not in change] or [
        "its source or the weights that it starts from were others" for _ in found[:1]
    ]
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
