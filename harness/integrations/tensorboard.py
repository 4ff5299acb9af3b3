"""A run in TensorBoard: scalars unit by unit and at the end, configuration and summary as text."""

from pathlib import Path
from typing import Any

from equibench.integrations.tracked_numbers import conditions, results, unit_numbers
from equibench.registry.registries import register_tracker
from equibench.runs.trackers import TrackedRun, TrackedUnit, Tracker

__all__ = ["TensorBoard"]


@register_tracker(
    "tensorboard", summary="TensorBoard", modules=("tensorboard",), extra="tensorboard"
)
class TensorBoard(Tracker):
    """Follows a run in TensorBoard.

    Args:
        dir: the folder that ``tensorboard --logdir`` is given; a run has one in it by its name.
    """

    def __init__(self, dir: str = "tensorboard") -> None:
        self.dir = dir
        self.writer: Any = None

    def on_run_start(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(Path(self.dir) / run.name.replace("/", "-of-")))
        lines = [f"| {name} | {value} |" for name, value in conditions(run).items()]
        self.writer.add_text("configuration", "\n".join(["| | |", "|---|---|", *lines]))

    def on_unit(self, run: TrackedRun, unit: TrackedUnit) -> None:
        for name, value in {"units": unit.done, **unit_numbers(unit)}.items():
            self.writer.add_scalar(name, value, unit.done)
        self.writer.flush()  # whoever watches sees it now

    def on_run_end(self, run: TrackedRun, state: str) -> None:
        for name, value in results(run).items():
            self.writer.add_scalar(f"result/{name}", value, run.units)
        self.writer.add_text("state", state)
        self.writer.close()
