"""A run in Weights & Biases: configuration, numbers unit by unit, results in its summary."""

from typing import Any

from equibench.integrations.tracked_numbers import conditions, results, unit_numbers
from equibench.registry.registries import register_tracker
from equibench.runs.trackers import TrackedRun, TrackedUnit, Tracker

__all__ = ["WeightsAndBiases"]


@register_tracker("wandb", summary="Weights & Biases", modules=("wandb",), extra="wandb")
class WeightsAndBiases(Tracker):
    """Follows a run in Weights & Biases; a resumed run goes on in the same one there.

    Args:
        project: where it is listed.
        entity: whose project it is; by default the user's own.
        mode: ``online``, ``offline`` or ``disabled``; by default what ``WANDB_MODE`` says.
        dir: where local files go, in a folder ``wandb``; by default here.
    """

    def __init__(
        self, project: str = "equibench", entity: str = "", mode: str = "", dir: str = ""
    ) -> None:
        self.options: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "mode": mode,
            "dir": dir,
        }
        self.run: Any = None

    def on_run_start(self, run: TrackedRun) -> None:
        import wandb

        self.run = wandb.init(
            id=run.identity,
            resume="allow",
            name=run.name,
            config=conditions(run),
            # what the terminal shows is equibench's
            settings=wandb.Settings(silent=True, console="off"),
            **self.options,
        )

    def on_unit(self, run: TrackedRun, unit: TrackedUnit) -> None:
        self.run.log({"units": unit.done, **unit_numbers(unit)})

    def on_run_end(self, run: TrackedRun, state: str) -> None:
        self.run.summary.update({f"result/{name}": v for name, v in results(run).items()})
        self.run.summary["state"] = state
        self.run.finish(exit_code=0 if state == "finished" else 1)
