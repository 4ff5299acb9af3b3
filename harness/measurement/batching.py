"""The images of a unit's cases in the order in which they fill batches, and their loading ahead."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from equibench.cases.suite import Case, Suite
from equibench.errors import DataError, EquibenchError, UsageError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.inference.forward_pass import out_of_memory
from equibench.inference.model_outputs import shape
from equibench.inference.parallel_copies import one_core
from equibench.inference.precision import onto
from equibench.measurement.settings import Settings
from equibench.metrics.metric import Prepared
from equibench.transforms.contract import prove_once
from equibench.transforms.transform import Elements, Region, Transform

__all__ = ["Compared", "Item", "Loader", "OpenCase", "items", "load_case", "moving"]

AHEAD = {"cpu": 1, "cuda": 4}
"""Cases that are being loaded at a time; on a CPU they take time from the model."""


_NDIMS = (3, 4, 5)
"""Of inputs (N, C, *size): signals, images and volumes."""


@dataclass(frozen=True, eq=False)
class Compared:
    """What the outputs of cases that are closed together are compared with.

    Args:
        outputs: the references, of all images of these cases, (N, C, *size), and beside them
            ``truth``, where there is a ground truth.
        ranges: data range of each image's reference, (N,), metric by metric, and of its truth
            ``truth_ranges``.
        prepared: what each metric keeps of the references, and ``truths`` of the truth.
    """

    outputs: Tensor
    truth: Tensor | None
    ranges: Sequence[Tensor]
    truth_ranges: Sequence[Tensor]
    prepared: Sequence[Prepared]
    truths: Sequence[Prepared]


class OpenCase:
    """A case while its images pass through the model.

    Args:
        elements: of the transform, (n, K), the identity left out.

    Attributes:
        elements: of its draws, the first is the identity, (1 + n, K).
        target, scale, offset: on the CPU.
        closed: the references to compare with, and the row of the case's first image there; done
            once there are some, or will never be any.
    """

    def __init__(
        self, case: Case, transform: Transform, elements: Elements, device: torch.device
    ) -> None:
        self.name, self.group, self.cluster = case.name, case.group, case.cluster or case.name
        self.transform, self.size = transform, tuple(case.input.shape[2:])
        identity = np.asarray(transform.identity(self.size), dtype=elements.dtype)
        self.elements = np.concatenate((identity[None], elements))
        self.input, self.target = onto(case.input, device), case.target
        self.in_units = case.scale is not None or case.offset is not None
        self.scale, self.offset = case.units()
        self._lock = Lock()
        self.closed: Future[tuple[Compared, int]] = Future()
        self.outputs: dict[int, Tensor] = {}
        self.moved: dict[int, Tensor] = {}

    def complete(self, image: int, output: Tensor, moved: Tensor) -> bool:
        """Keep an unshifted output, and as it is held against the truth; is it the last one?"""
        with self._lock:
            self.outputs[image], self.moved[image] = output, moved
            return len(self.outputs) == len(self.input)

    def fail(self, error: BaseException) -> None:
        """Let those who wait for references know that there will be none."""
        with self._lock:
            if not self.closed.done():
                self.closed.set_exception(error)

    def items(self, batch: int) -> Iterator["Item"]:
        """First every image under the identity, then that once more, then the elements."""
        count = len(self.input)
        for image in range(count):
            yield Item(self, image, None)
        # the floor must not meet its reference's slot of a batch
        turn = int(count % batch == 0)
        for draw in range(len(self.elements)):
            for image in range(count):
                yield Item(self, (image + turn) % count if draw == 0 else image, draw)


@dataclass(eq=False)
class Item:
    """One image to be passed through the model: as it is (no draw) or under an element.

    Without a case it is blank, and only keeps the place of an image that cannot be measured.
    """

    case: OpenCase | None
    image: int = 0
    draw: int | None = None
    blank: tuple[int, ...] | None = None

    @cached_property
    def element(self) -> list[float]:
        """The numbers of its element."""
        assert self.case is not None
        numbers: list[float] = self.case.elements[self.draw or 0].tolist()
        return numbers

    @cached_property
    def shape(self) -> tuple[int, ...] | None:
        """(C, *size), which the images of a batch share; what is not known fits everywhere."""
        if self.case is None:
            return self.blank
        size = self.case.transform.moved_size(self.element, self.case.size)
        return (self.case.input.shape[1], *size)

    @cached_property
    def region(self) -> Region | None:
        """Where its output is compared with the reference, in pixels of the image."""
        assert self.case is not None
        return self.case.transform.region(self.element, self.case.size)


class Loader:
    """Loads and decodes cases ahead of their use, in threads.

    Args:
        device: where the images will go; for a GPU they are put into pinned memory.
    """

    def __init__(self, suite: Suite, device: torch.device) -> None:
        self.suite, self.pinned = suite, device.type == "cuda"
        self._waiting: deque[str] = deque()
        self._coming: dict[str, Future[Case | DataError]] = {}
        self._threads = AHEAD[device.type]
        self._pool = ThreadPoolExecutor(
            self._threads, thread_name_prefix="equibench-load", initializer=one_core
        )

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def expect(self, names: Iterable[str]) -> None:
        """Name the cases that will be asked for next, in order; others are forgotten."""
        names = list(names)
        self._coming = {name: self._coming[name] for name in names if name in self._coming}
        self._waiting = deque(name for name in names if name not in self._coming)
        self._go_on()

    def __call__(self, name: str) -> Case | DataError:
        """A case that can be measured, or why it cannot."""
        future = self._coming.pop(name, None) or self._pool.submit(self._load, name)
        if self._waiting and self._waiting[0] == name:
            self._waiting.popleft()
        self._go_on()
        return future.result()

    def _go_on(self) -> None:
        while self._waiting and len(self._coming) < self._threads:
            name = self._waiting.popleft()
            self._coming[name] = self._pool.submit(self._load, name)

    def _load(self, name: str) -> Case | DataError:
        case = load_case(self.suite, name)
        if isinstance(case, DataError) or not self.pinned:
            return case
        target = None if case.target is None else case.target.pin_memory()
        return replace(case, input=case.input.pin_memory(), target=target)


def items(
    suite: Suite,
    cases: Sequence[str],
    settings: Settings,
    load: Loader,
    broken: dict[str, EquibenchError],
) -> Iterator[Item]:
    """The images of all cases in order; cases that cannot be loaded go to ``broken``.

    Cases that are in ``broken`` already are left out. Blanks take the places of what is broken,
    so that the others pass through the model in the same slots of the same batches as if it were
    whole.
    """
    transform = settings.transform
    for name in cases:
        case = load(name)
        if isinstance(case, DataError):
            broken[name] = case
            count = transform.count(suite.axes)
            for _ in range(0 if count is None else 2 + count):
                yield Item(None)
            continue
        size = tuple(case.input.shape[2:])
        with moving(transform):
            elements = transform.elements(settings.seed, suite.name, name, size)
            prove_once(transform, size)
        opened = OpenCase(case, transform, elements, settings.device).items(settings.batch)
        if name in broken:
            opened = (Item(None, blank=item.shape) for item in opened)
        yield from opened


@contextmanager
def moving(transform: Transform) -> Iterator[None]:
    """Where a transform is at work, which anyone may have written.

    Raises:
        UsageError: it raises.
    """
    label = transform.label or type(transform).__name__
    with guarded(
        lambda error: f"transform {label} cannot move images: {kind_and_reason(error)}",
        UsageError,
        but=out_of_memory,
    ):
        yield


def load_case(suite: Suite, name: str) -> Case | DataError:
    """A case that can be measured, or why it cannot."""
    try:
        with guarded(
            lambda error: f"{suite.label} cannot load case {name}: {kind_and_reason(error)}",
            DataError,
        ):
            case = suite.load(name)
    except DataError as error:
        return error
    if not isinstance(case, Case) or not isinstance(case.input, Tensor):
        return DataError(f"{suite.label}, case {name}: load() gave no Case with a tensor as input")
    usable = case.input.ndim in _NDIMS and len(case.input) and case.input.is_floating_point()
    if not usable:
        return DataError(
            f"{suite.label}, case {name}: the input is {case.input.dtype} {shape(case.input)}, "
            "not a float tensor (N, C, H, W), nor a signal (N, C, L) or a volume (N, C, D, H, W)"
        )
    for what, images in (("input", case.input), ("ground truth", case.target)):
        if images is not None and not images.isfinite().all():
            return DataError(f"{suite.label}, case {name}: the {what} is not finite")
    return replace(case, name=name)
