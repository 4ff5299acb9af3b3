"""What networks are trained and validated on: the parts of a suite, image by image."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from equibench.cases.suite import Case, Suite
from equibench.errors import DataError, UsageError
from equibench.loading.suites import build_suite, case_names
from equibench.models.training.recipes import Recipe
from equibench.models.training.tasks import TASKS
from equibench.registry.registries import SUITES
from equibench.registry.specs import Spec

__all__ = ["TrainingData"]

_KEPT = 64
"""Cases that a data set keeps in memory: all of an embedded suite, next to none of a real one."""


class TrainingData(pl.LightningDataModule):
    """Images of a suite's training part in batches, and the cases of its validation part.

    Args:
        suite: without the argument that chooses the part.
        data: data roots by name of the suite.
        workers: processes that load images, for each device.
        seed: of the order of images.

    Raises:
        UsageError: the suite has no such parts, or the batch does not divide among devices.
    """

    def __init__(
        self, suite: Spec, data: Mapping[str, str], recipe: Recipe, workers: int, seed: int
    ) -> None:
        super().__init__()
        self.training = _part(suite, "train", data)
        self.validation = _part(suite, "validation", data)
        self.recipe, self.workers, self.seed = recipe, workers, seed

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        devices = self._trainer.world_size
        if self.recipe.batch % devices:
            raise UsageError(f"--batch {self.recipe.batch} does not divide among {devices} devices")
        images: Dataset[tuple[Tensor, Tensor]] = _Images(self.training, self.recipe)
        if self.recipe.drawn:
            images = _Drawn(self.training, self.recipe, self.seed)
        sampler = _Order if self.recipe.drawn else DistributedSampler
        return DataLoader(
            images,
            batch_size=self.recipe.batch // devices,
            sampler=sampler(images, devices, self._trainer.global_rank, seed=self.seed),
            num_workers=self.workers,
        )

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        cases = _Cases(self.validation)
        sampler: DistributedSampler[dict[str, Tensor]] = DistributedSampler(
            cases, self._trainer.world_size, self._trainer.global_rank, shuffle=False
        )
        return DataLoader(cases, batch_size=None, sampler=sampler, num_workers=self.workers)

    @property
    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None
        return self.trainer


class _Cases(Dataset[dict[str, Tensor]]):
    """Whole cases, for validation: input and target (N, C, H, W), scale and offset (N,)."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.names: Sequence[str] = case_names(suite)
        self.kept: dict[int, Case] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        case = self.case(number)
        target = _truth(self.suite, case)
        scale, offset = case.units()
        return {"input": case.input, "target": target, "scale": scale, "offset": offset}

    def case(self, number: int) -> Case:
        if number in self.kept:
            return self.kept[number]
        case = self.suite.load(self.names[number])
        if len(self.kept) < _KEPT:
            self.kept[number] = case
        return case


class _Images(Dataset[tuple[Tensor, Tensor]]):
    """Images (C, H, W) with the outputs that are wanted for them, in the network's units."""

    def __init__(self, suite: Suite, recipe: Recipe) -> None:
        self.cases = _Cases(suite)
        self.recipe = recipe

    def __len__(self) -> int:
        return len(self.cases) * self.recipe.crops

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        return _pair(self.cases.suite, self.cases.case(number % len(self.cases)), self.recipe)


class _Drawn(Dataset[tuple[Tensor, Tensor]]):
    """Images as ``_Images`` has them, each drawn by its number over all epochs."""

    def __init__(self, suite: Suite, recipe: Recipe, seed: int) -> None:
        self.suite, self.recipe, self.seed = suite, recipe, seed

    def __len__(self) -> int:
        return self.recipe.drawn

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        return _pair(self.suite, self.suite.draw(self.seed, number), self.recipe)


class _Order(DistributedSampler[Any]):
    """Numbers that no other epoch has: images are drawn by them."""

    def __iter__(self) -> Iterator[Any]:
        before = self.epoch * len(self.dataset)  # type: ignore[arg-type]
        return (before + number for number in super().__iter__())


def _pair(suite: Suite, case: Case, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Image and wanted output (C, H, W), in the network's units."""
    image, target = case.input, _truth(suite, case)
    if len(image) != 1:
        raise DataError(f"{suite.label}: a case of {len(image)} images cannot be trained on")
    if recipe.crop > min(image.shape[-2:]):
        size = "×".join(map(str, image.shape[-2:]))
        raise UsageError(f"--crop {recipe.crop} is larger than an image, {size}")
    comparable = target.is_floating_point() and image.shape == target.shape
    if recipe.error_augment > 1 and not comparable:
        raise UsageError("--error-augment needs targets that are images of the inputs' shape")
    wanted = TASKS[recipe.task].wanted(suite, target, *case.units())
    return image[0], wanted[0]


def _truth(suite: Suite, case: Case) -> Tensor:
    if case.target is None:
        raise DataError(f"{suite.label}: case {case.name} has no ground truth to learn")
    return case.target


def _part(spec: Spec, part: str, data: Mapping[str, str]) -> Suite:
    """The training or validation part of a suite."""
    parts = getattr(SUITES.get(spec.reference).require(), "parts", {})
    if part not in parts:
        raise UsageError(f"suite {spec.reference!r} has no {part} part to train with")
    chosen = Spec(spec.reference, {**spec.arguments, **parts[part]}, spec.chosen_label)
    return build_suite(chosen, data)
