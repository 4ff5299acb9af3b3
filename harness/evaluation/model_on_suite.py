"""Evaluating one model on one suite: units of work, memory, and what layers report."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import prod
from typing import TypeVar

import torch
from torch import Tensor

from equibench.cases.suite import Suite
from equibench.errors import DataError, EquibenchError, ModelError, UsageError
from equibench.evaluation.halo import Tiling, tiling
from equibench.evaluation.inner_stride import UNITS, InnerStride, inner_stride
from equibench.evaluation.model_device import where_it_runs, within_memory
from equibench.evaluation.model_in_lanes import ModelInLanes, warm_up
from equibench.evaluation.screening import screened
from equibench.evidence.certificate import Proof
from equibench.evidence.proof import prove
from equibench.evidence.reading.interpreter import Refused
from equibench.evidence.reading.reuse.passes import StagedPasses
from equibench.evidence.reading.reuse.stages import staged
from equibench.evidence.repeatability import Repeatability, repeatability
from equibench.evidence.residue_classes import by_class
from equibench.evidence.stride_probing import Probe, probe
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.inference.model_outputs import frame_of, framed
from equibench.inference.placement import Placed, placed, told
from equibench.inference.precision import numerics
from equibench.measurement.batching import Loader, load_case
from equibench.measurement.measurement import Measured, Measurement, Shortcut
from equibench.measurement.row_table import suite_metrics
from equibench.measurement.settings import Settings
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import DEFAULT_SHIFTS, All, parse_shifts

__all__ = ["Evaluation", "Ready"]

T = TypeVar("T")

WORTHWHILE = 2**22
"""Pixels of an image under all classes of shifts, below which no shortcut is looked for."""


@dataclass(frozen=True)
class Ready:
    """A model in place: call it with the cases of a unit.

    Args:
        notes: what the user should know of how the model is run; there may be more after a unit.
        probe: what its total stride was found to be, where all shifts are asked for.
        repeatability: what it does with the same image once more; None where it was not tried.
        proof: of the stride, where it has one; or why there is none.
    """

    measure: Callable[[Sequence[str]], Measured]
    load: Loader
    notes: Sequence[str] = ()
    probe: Probe | None = None
    repeatability: Repeatability | None = None
    proof: Proof | None = None

    def __call__(self, cases: Sequence[str], following: Sequence[str] = ()) -> Measured:
        """Rows of the cases.

        Args:
            following: cases that will be asked for next, to be loaded meanwhile.

        Raises:
            DataError: none of the cases can be loaded.
            ModelError: the model raises, returns what cannot be measured, or does not fit into
                memory with a single image.
        """
        self.load.expect([*cases, *following])
        return self.measure(cases)

    def remarks(self, label: str, suite: Suite, cases: int) -> list[str]:
        """What users should know before a measurement of so many cases begins, line by line."""
        said = []
        if self.repeatability is not None:
            said.append(self.repeatability.sentence(label, suite.label))
        if self.probe is not None:
            said.append(self.probe.cost(label, suite, cases))
        return list(filter(None, said))


@dataclass(frozen=True)
class Evaluation:
    """One model, (B, C, H, W) to (B, C', H, W), on one suite.

    Args:
        declared: the total stride that the model's registration names.
    """

    model: Callable[[Tensor], Tensor]
    label: str
    suite: Suite
    settings: Settings
    declared: int | None = None

    @contextmanager
    def ready(self, tried: Sequence[str] = ()) -> Iterator[Ready]:
        """Put the model in place; nothing global is set between two calls of what is yielded.

        Args:
            tried: cases that the model is tried with before it is measured: whether it gives the
                same once more, and, where all shifts are asked for, its total stride.
        """
        here, notes = self._where_it_runs(tried)
        with (
            placed(self.model, here.settings.device, here.settings.precision) as forward,
            ExitStack() as stack,
            Loader(self.suite, here.settings.device) as load,
        ):
            forward.notes += notes
            forward, repeats = here._repeated(forward, tried)
            network = ModelInLanes(forward, stack)
            rows = partial(here._rows, network, load)
            yield here._ready(rows, load, forward, repeats, tried)

    def _rows(
        self,
        network: ModelInLanes,
        load: Loader,
        settings: Settings,
        cases: Sequence[str],
        shortcut: Callable[[], Shortcut] | None = None,
    ) -> Measured:
        if settings.screen is not None and isinstance(settings.transform, Circular):
            return screened(partial(self._rows, network, load), settings, cases)
        metrics = suite_metrics(self.suite)

        def measure(settings: Settings) -> Measured:
            network.start(lambda: self._image(cases), settings.batch)
            with network.working_in(settings.precision):
                return network.unit(
                    lambda lanes, begin: Measurement(
                        lanes, self.label, self.suite, metrics, settings, load, begin, shortcut
                    ).run(cases),
                    *(settings.seed, self.suite.name, cases[0]),
                )

        return within_memory(self.label, self.suite, settings, measure)

    def _ready(
        self,
        rows: Callable[..., Measured],
        load: Loader,
        forward: Placed,
        repeats: Repeatability | None,
        tried: Sequence[str],
    ) -> Ready:
        repeatable = repeats is None or not repeats.kind
        ways: list[Callable[[Sequence[str]], Measured]] = []
        found, proof = None, None
        for transform in self.settings.transforms:
            whole = isinstance(transform, Circular) and isinstance(transform.plan, All)
            if whole and not repeatable:  # no shift stands for another, nor for itself
                transform, whole = Circular(parse_shifts(DEFAULT_SHIFTS)), False
            settings = self.settings.under(transform)
            if whole and tried:
                found = found or self._probe(forward, tried)
                if found.periodic:
                    seeded = repeats is not None and repeats.seeded
                    proof = None if seeded else self._proof(found)
                    shortcut = self._shortcut(forward, found, proof)
                    ways.append(partial(by_class, rows, self.settings, found, proof, shortcut))
                    continue
            ways.append(partial(rows, settings))

        def measure(cases: Sequence[str]) -> Measured:
            measured = _under_each(ways, cases)
            return measured if repeats is None else repeats.told(measured)

        return Ready(
            measure,
            load,
            forward.notes,
            found,
            repeats,
            proof,
        )

    def _repeated(
        self, forward: Placed, tried: Sequence[str]
    ) -> tuple[Placed, Repeatability | None]:
        """Whether the model gives the same once more, with its generators seeded if need be."""
        if not tried:
            return forward, None
        with numerics(self.settings.precision):
            warm_up(forward, lambda: self._image(tried), self.settings.batch)
        found = self._repeatability(forward, tried)
        if found is not None and found.kind == "random" and self.settings.seed_forward:
            seeded = forward.seeded(self.settings.seed)
            again = self._repeatability(seeded, tried)
            if again is not None and not again.kind:
                return seeded, replace(again, seeded=True)
        return forward, found

    def _repeatability(self, forward: Placed, tried: Sequence[str]) -> Repeatability | None:
        before = forward.state()
        try:
            return within_memory(
                self.label,
                self.suite,
                self.settings,
                lambda s: repeatability(forward, self.suite, tried, s),
            )
        finally:
            before.put_back()

    def _proof(self, found: Probe) -> Proof | None:
        """What reading the network says at the size that it was probed at; None where nothing."""
        # it reads what others wrote: measuring goes on without
        with suppress(EquibenchError), guarded(kind_and_reason), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is deprecated in somebody's network
            return prove(self.model, found.size, channels=found.channels, label=self.label)
        return None

    def _shortcut(
        self, forward: Placed, found: Probe, proof: Proof | None
    ) -> Callable[[], Shortcut] | None:
        """Of a network that is proved, what spares it most of its early operators."""
        precise = self.settings.precision in ("fp32", "fp64") and self.settings.screen is None
        if proof is None or not proof.covers(found.classes) or not precise:
            return None
        if prod(found.classes) * prod(found.size) < WORTHWHILE or framed(self.model):
            return None
        shape = (self.settings.batch, found.channels, *found.size)
        images = torch.zeros(shape, dtype=forward.dtype, device=forward.device)
        with suppress(EquibenchError, Refused), guarded(kind_and_reason), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = staged(self.model, images)
            if network is not None:
                return partial(StagedPasses, network, prod(found.classes))
        return None

    def probe(self, cases: Sequence[str]) -> Probe:
        """Find the model's total stride on noise and the first of some cases.

        Raises:
            DataError: none of them can be loaded.
            ModelError: the model raises, or returns what cannot be measured.
        """
        here, _ = self._where_it_runs(cases)
        with placed(self.model, here.settings.device, here.settings.precision) as forward:
            return here._probe(forward, cases)

    def inner_stride(self, cases: Sequence[str]) -> InnerStride | None:
        """What commutes with the model where its borders are left out.

        Returns:
            None where images are too small to tell, or the model takes no windows of them.
        """
        here, _ = self._where_it_runs(cases)
        with placed(self.model, here.settings.device, here.settings.precision) as forward:
            return here._inner_stride(forward, cases)

    def tiling(self, cases: Sequence[str]) -> Tiling:
        """How tiles of the first images of some cases fit together.

        Raises:
            DataError: none of them can be loaded.
            ModelError: the model raises, or returns what cannot be measured.
            UsageError: the images are too small.
        """
        here, _ = self._where_it_runs(cases)
        images = here.first_images(cases)
        with placed(self.model, here.settings.device, here.settings.precision) as forward:
            return within_memory(
                here.label,
                here.suite,
                here.settings,
                lambda s: tiling(forward, images, s, self.label, f"{self.suite.label}, tiles"),
            )

    def first_images(self, cases: Sequence[str]) -> list[Tensor]:
        """The first images (1, C, H, W) of some cases, as far as they are of one size."""
        loaded = [load_case(self.suite, name) for name in cases]
        images = [case.input[:1] for case in loaded if not isinstance(case, DataError)]
        if not images:
            raise next(case for case in loaded if isinstance(case, DataError))
        return [i.to(self.settings.device) for i in images if i.shape == images[0].shape]

    def _inner_stride(
        self, forward: Callable[[Tensor], Tensor], cases: Sequence[str]
    ) -> InnerStride | None:
        alike, where = self.first_images(cases), f"{self.suite.label}, windows"
        for unit in UNITS:

            def displaced(settings: Settings, unit: int = unit) -> InnerStride | None:
                return inner_stride(forward, alike, settings, self.label, where, unit)

            with suppress(ModelError):  # it takes no images of such sizes
                return within_memory(self.label, self.suite, self.settings, displaced)
        return None

    def _where_it_runs(self, cases: Sequence[str]) -> tuple["Evaluation", list[str]]:
        """The evaluation on a device that the model runs on, and a note where that is another."""
        settings, notes = where_it_runs(
            self.model,
            lambda: self._image(cases or list(islice(self.suite.cases(), 1))),
            self.settings.on_grid(frame_of(self.model).output_scale, self.label),
        )
        return replace(self, settings=settings), notes

    def _probe(self, forward: Callable[[Tensor], Tensor], cases: Sequence[str]) -> Probe:
        if frame_of(self.model).output_scale < 1:
            raise ModelError(
                f"{self.label}: of an output smaller than its input no total stride is found: give "
                "it out.resize=bilinear in the place of out.scale"
            )
        declared = told(self.model, "total_stride", 0) or self.declared
        declared = declared if isinstance(declared, int) and declared > 0 else None
        return within_memory(
            self.label,
            self.suite,
            self.settings,
            lambda s: probe(forward, self.label, self.suite, cases, s, declared),
        )

    def _image(self, cases: Sequence[str]) -> Tensor:
        """One image (1, C, H, W) to try the model with.

        Raises:
            DataError: no case can be loaded.
        """
        for name in cases:
            case = load_case(self.suite, name)
            if not isinstance(case, DataError):
                return case.input[:1]
        raise DataError(f"{self.suite.label}: none of {len(cases)} cases can be loaded")


def _under_each(
    ways: Sequence[Callable[[Sequence[str]], Measured]], cases: Sequence[str]
) -> Measured:
    """Rows under one transform after the other; one that is refused stops no other.

    Raises:
        ModelError: the model refuses the cases under every transform.
        UsageError: the images are too small for every transform.
    """
    parts, refused = list[Measured](), list[EquibenchError]()
    for way in ways:
        try:
            parts.append(way(cases))
        except (ModelError, UsageError) as error:
            refused.append(error)
    if not parts:
        raise refused[0]
    measured = Measured.together(parts)
    if not refused:
        return measured
    reasons = dict.fromkeys(map(str, refused))  # each once
    fault = refused[0] if len(reasons) == 1 else type(refused[0])("; ".join(reasons))
    return replace(measured, broken={**dict.fromkeys(cases, fault), **measured.broken})
