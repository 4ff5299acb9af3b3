"""A run in MLflow: parameters, numbers unit by unit and at the end, the summary as an artifact."""

from typing import Any

from equibench.integrations.tracked_numbers import conditions, results, unit_numbers
from equibench.registry.registries import register_tracker
from equibench.runs.trackers import TrackedRun, TrackedUnit, Tracker

__all__ = ["MLflow"]

_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


@register_tracker(
    "mlflow", summary="MLflow, local or a server", modules=("mlflow",), extra="mlflow"
)
class MLflow(Tracker):
    """Follows a run in MLflow; a resumed run goes on in the same one there.

    Args:
        experiment: where it is listed; made if there is none of that name.
        uri: of the server or the local store; by default what ``MLFLOW_TRACKING_URI`` says.
    """

    def __init__(self, experiment: str = "equibench", uri: str = "") -> None:
        self.experiment, self.uri = experiment, uri
        self.client: Any = None
        self.id = ""

    def on_run_start(self, run: TrackedRun) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=self.uri or None)
        known = self.client.get_experiment_by_name(self.experiment)
        place = known.experiment_id if known else self.client.create_experiment(self.experiment)
        wanted = f"tags.`equibench.run` = '{run.identity}'"
        again = self.client.search_runs([place], wanted, max_results=1)
        if again:
            self.id = again[0].info.run_id
            self.client.update_run(self.id, status="RUNNING")
            return
        tags = {"equibench.run": run.identity, "equibench.folder": str(run.folder.path.resolve())}
        self.id = self.client.create_run(place, run_name=run.name, tags=tags).info.run_id
        for name, value in conditions(run).items():
            self.client.log_param(self.id, name, value)

    def on_unit(self, run: TrackedRun, unit: TrackedUnit) -> None:
        for name, value in {"units": float(unit.done), **unit_numbers(unit)}.items():
            self.client.log_metric(self.id, name, value, step=unit.done)

    def on_run_end(self, run: TrackedRun, state: str) -> None:
        for name, value in results(run).items():
            self.client.log_metric(self.id, f"result/{name}", value)
        for name in ("run.json", "summary.csv"):
            if (run.folder.path / name).exists():
                self.client.log_artifact(self.id, str(run.folder.path / name))
        self.client.set_terminated(self.id, _STATUS.get(state, "FAILED"))
