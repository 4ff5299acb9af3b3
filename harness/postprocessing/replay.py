"""Kept outputs in the place of a network: whatever is made of outputs is made of these."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from equibench.cases.suite import Suite
from equibench.errors import DataError, EquibenchError
from equibench.inference.parallel_copies import Lanes
from equibench.measurement.batch_outputs import BatchOutputs, Slot
from equibench.measurement.batching import Item, Loader, OpenCase
from equibench.measurement.kept_outputs import UNSHIFTED, KeptOutput
from equibench.measurement.measurement import Forward, Measurement, RefusedError
from equibench.measurement.row_table import suite_metrics
from equibench.measurement.settings import Settings

__all__ = ["Replay"]


class Replay(Measurement):
    """A measurement whose outputs are there already.

    Args:
        read: gives what was kept of a case.
        settings: of one transform, on the CPU.
    """

    def __init__(
        self,
        read: Callable[[str], Sequence[KeptOutput]],
        label: str,
        suite: Suite,
        settings: Settings,
        load: Loader,
    ) -> None:
        super().__init__(
            Lanes([Forward(lambda images: images, lambda: None)]),
            label,
            suite,
            suite_metrics(suite),
            settings,
            load,
        )
        self._read = read
        self._kept: dict[tuple[str, int, int], KeptOutput] = {}

    def _batches(
        self, cases: Sequence[str], broken: dict[str, EquibenchError]
    ) -> Iterator[Sequence[Item]]:
        """One image at a time, each under the element that it passed the network with."""
        transform = self.settings.transform
        for name in (name for name in cases if name not in broken):
            case = self.load(name)
            if isinstance(case, DataError):
                broken[name] = case
                continue
            mine = [each for each in self._read(name) if each.transform == transform.label]
            self._kept |= {(name, each.image, each.draw): each for each in mine}
            drawn = [each.element for each in mine if each.image == 0 and each.draw > 0]
            identity = np.asarray(transform.identity(tuple(case.input.shape[2:])))
            elements = np.array(drawn).reshape(len(drawn), len(identity)).astype(identity.dtype)
            opened = OpenCase(case, transform, elements, self.settings.device)
            for item in opened.items(self.settings.batch):
                yield [item]
            self._kept = {key: each for key, each in self._kept.items() if key[0] != name}

    def _refused(
        self, cases: Sequence[str], broken: Mapping[str, EquibenchError], first: RefusedError
    ) -> dict[str, EquibenchError]:
        """The cases that outputs are of; there is no network to try others with."""
        return dict.fromkeys(first.cases, first.error)

    def _forward(
        self, items: Sequence[Item], slots: Sequence[Slot], forward: Forward
    ) -> BatchOutputs:
        (item,), (slot,) = items, slots
        draw = UNSHIFTED if item.draw is None else item.draw
        kept = self._kept[slot.case.name, item.image, draw]
        added = None if kept.added is None else torch.tensor(kept.added)[None, :, None, None]
        return BatchOutputs(
            torch.tensor(kept.output)[None],
            (item.shape or ())[1:],
            self.settings.transform,
            torch.tensor([item.element], dtype=torch.from_numpy(slot.case.elements).dtype),
            torch.full((1,), torch.nan, dtype=torch.float64),
            kept.padded,
            kept.resized,
            kept.labels,
            added,
        )
