"""Running a run's models again: its suites and models from what the manifest says of them."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from equibench.cases.suite import Case, Suite, images_in_units
from equibench.errors import UsageError
from equibench.inference.forward_pass import call
from equibench.inference.model_outputs import frame_of
from equibench.inference.placement import placed
from equibench.inference.precision import numerics, resolve_device
from equibench.loading.load import load_spec
from equibench.loading.models import LoadedModel
from equibench.loading.suites import build_suite
from equibench.registry.specs import specs_of

__all__ = ["Rerun"]


class Rerun:
    """The models, suites and cases of one run, each made once, when it is first asked for.

    ``suite`` and ``model`` take labels, ``case`` a suite's label and a case's name.

    Args:
        manifest: the run's ``run.json``.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self.manifest = manifest
        self.configuration: Mapping[str, Any] = manifest.get("configuration", {})
        self.suite = cache(self._suite)
        self.model = cache(self._model)
        self.case = cache(self._case)

    def forward(self, label: str, suite: Suite, case: Case) -> Callable[[Tensor], Tensor]:
        """From inputs (N, C, H, W) to outputs in the units of the ground truth, on the CPU.

        Raises:
            EquibenchError: the model cannot be loaded, or its weights are not those of the run.
        """
        model = self.model(label).model
        precision = self.configuration.get("precision", "fp32")
        device = resolve_device("auto")
        where = f"{suite.label}, case {case.name}"

        def forward(images: Tensor) -> Tensor:
            with placed(model, device, precision) as pass_on, numerics(precision):
                outputs = [
                    call(pass_on, i[None].to(device), label, where, moved=True).cpu()
                    for i in images
                ]
            images = torch.cat(outputs).double()
            return images if self.labels(label) else images_in_units(case, images, suite.clamp)

        return forward

    def labels(self, label: str) -> bool:
        """Whether a model gives class maps (N, K, H, W), and no images."""
        return frame_of(self.model(label).model).labels

    def _suite(self, label: str) -> Suite:
        roots = self.configuration.get("data", {})
        specs = specs_of(self.configuration, "suites").values()
        described = self.manifest.get("fingerprint", {}).get("suites", {})
        name = described.get(label, {}).get("name", label)
        for spec in sorted(specs, key=lambda spec: spec.reference != name):
            if spec.chosen_label in (None, label):
                suite = build_suite(spec, roots)
                if suite.label == label:
                    return suite
        raise UsageError(f"the configuration of this run names no suite {label!r}: repeat the run")

    def _case(self, suite: str, name: str) -> Case:
        return self.suite(suite).load(name)

    def _model(self, label: str) -> LoadedModel:
        spec = specs_of(self.configuration, "models").get(label)
        if spec is None:
            raise UsageError(
                f"the configuration of this run names no model {label!r}: repeat the run"
            )
        loaded = load_spec(spec, int(self.configuration.get("seed", 0)))
        before = self.manifest["models"].get(label, {}).get("state_sha256")
        if before != loaded.provenance.get("state_sha256"):
            raise UsageError(f"the weights of {label} are not those of the run: repeat the run")
        return loaded
