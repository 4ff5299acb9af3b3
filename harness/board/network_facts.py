"""What is said of a network itself: the time of a pass, its padding, its total stride."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import torch
from torch import Tensor, nn

from equibench.cases.suite import Suite, images_in_units
from equibench.errors import EquibenchError
from equibench.evaluation.model_on_suite import Evaluation
from equibench.evidence.proof import prove
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.inference.forward_pass import call, relative_time
from equibench.inference.model_outputs import frame_of
from equibench.inference.placement import placed
from equibench.inference.precision import numerics
from equibench.loading.load import load_spec
from equibench.loading.models import LoadedModel
from equibench.measurement.settings import Settings
from equibench.registry.specs import Spec
from equibench.state.object_graph import registered_modules

__all__ = ["NetworkFacts", "network_facts", "padding_of", "stride_of", "variation"]


@dataclass(frozen=True)
class NetworkFacts:
    """Facts of one network on images of one size.

    Args:
        size: of the images, in pixels.
        time: of a forward pass over the reference network's, turn by turn; NaN where one of them
            takes no such image.
        padding: how its layers pad, in words.
        stride: shifts by its multiples commute; empty where none but whole turns do.
        evidence: ``proved`` by its operators at this size, ``sampled`` by trying, or nothing.
        obstacle: the first operator that breaks equivariance; empty where it is not known, since
            the network cannot be read.
    """

    size: Sequence[int]
    reference: str
    time: float
    padding: str
    stride: Sequence[int] = ()
    evidence: str = ""
    obstacle: str = ""

    @property
    def described(self) -> dict[str, Any]:
        """All of it, for a file."""
        return asdict(self)


def network_facts(
    loaded: LoadedModel, suite: Suite, cases: Sequence[str], settings: Settings, reference: str
) -> NetworkFacts:
    """Look into a network.

    Args:
        cases: the first of them gives the image.
        reference: a model, as ``equibench run -m`` takes it.

    Raises:
        EquibenchError: the case cannot be loaded, or the reference cannot be built.
    """
    image = suite.load(cases[0]).input[:1].to(settings.device)
    size = tuple(image.shape[2:])
    stride, evidence, obstacle = stride_of(loaded, suite, cases, settings, image)
    return NetworkFacts(
        size=size,
        reference=reference,
        time=_time(loaded, load_spec(Spec.parse(reference), settings.seed), image, settings),
        padding=padding_of(loaded),
        stride=stride,
        evidence=evidence,
        obstacle=obstacle,
    )


def variation(
    loaded: LoadedModel, suite: Suite, cases: Sequence[str], settings: Settings
) -> dict[str, float]:
    """How much of a network's output varies within an image, by case: of its energy, the share
    that is not the mean of a channel.

    An output that is nearly constant changes little under any motion: errors are told relative to
    what varies. Of label maps 1, or 0 where all pixels have one label.

    Raises:
        ModelError: the network does not take the images.
    """
    found = {}
    with (
        placed(loaded.model, settings.device, settings.precision) as forward,
        numerics(settings.precision),
    ):
        labels = frame_of(forward).labels
        for name in cases:
            case, where = suite.load(name), f"{suite.label}, case {name}"
            outputs = [
                call(forward, image[None].to(settings.device), loaded.label, where, moved=True)
                for image in case.input
            ]
            images = images_in_units(case, torch.cat(outputs).cpu().double(), suite.clamp)
            axes = tuple(range(2, images.ndim))
            if labels:
                found[name] = float((images.amax(axes) > images.amin(axes)).any())
                continue
            varying = (images - images.mean(dim=axes, keepdim=True)).square().mean()
            energy = images.square().mean()
            found[name] = float(varying / energy) if energy else 0.0
    return found


def padding_of(loaded: LoadedModel) -> str:
    """How a network's layers pad, as far as they say; else what its registration says."""
    treated = str(loaded.provenance.get("mend", {}).get("treatments", ""))
    if "circular" in treated.split("+"):
        return "circular, by treatment"
    model: Any = loaded.model
    modules = registered_modules(model) if isinstance(model, nn.Module) else []
    kinds = {kind for module in modules if (kind := _padding(module))}
    declared = str(loaded.provenance.get("details", {}).get("padding", ""))
    return " and ".join(sorted(kinds)) or declared


def _padding(layer: nn.Module) -> str:
    """Of one layer; empty where it pads nothing."""
    kind = type(layer).__name__
    if kind.endswith(("Pad1d", "Pad2d", "Pad3d")):
        names = {"Zero": "zeros", "Reflection": "reflect", "Replication": "replicate"}
        name = kind[: kind.rindex("Pad")]
        return names.get(name, name.lower())
    padded = getattr(layer, "padding", 0)
    pads = bool(padded) and padded != "valid" and any(padded if type(padded) is tuple else (1,))
    return str(getattr(layer, "padding_mode", "")) if pads else ""


def stride_of(
    loaded: LoadedModel, suite: Suite, cases: Sequence[str], settings: Settings, image: Tensor
) -> tuple[tuple[int, ...], str, str]:
    """The total stride, how it is known, or else what is in its way."""
    obstacle = ""
    size = tuple(image.shape[2:])
    with suppress(EquibenchError), guarded(kind_and_reason):
        proof = prove(loaded.model, size, channels=image.shape[1], label=loaded.label)
        if proof.proved:
            return tuple(proof.stride), "proved", "; ".join(proof.conditions)
        first = next(iter(proof.obstacles.values()))
        obstacle = str(first).partition(" (at ")[0] if first.operator else ""
    with suppress(EquibenchError):
        found = Evaluation(loaded.model, loaded.label, suite, settings).probe(cases[:1])
        if found.stride != found.size:
            return tuple(found.stride), "sampled", obstacle
    return (), "", obstacle


def _time(loaded: LoadedModel, reference: LoadedModel, image: Tensor, settings: Settings) -> float:
    def passes(model: Callable[[Tensor], Tensor]) -> Any:
        return placed(model, settings.device, settings.precision)

    with suppress(EquibenchError), guarded(kind_and_reason), ExitStack() as stack:
        stack.enter_context(numerics(settings.precision))
        before, after = (stack.enter_context(passes(m.model)) for m in (reference, loaded))
        return relative_time(before, after, image)
    return nan
