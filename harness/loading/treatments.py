"""Treatments by name: from what users type after ``mend=`` to a treated network."""

from collections.abc import Callable
from typing import Any

from equibench.errors import ModelError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.inference.adapters import Adapted
from equibench.inference.placement import label_of
from equibench.registry.registries import TREATMENTS
from equibench.registry.specs import Spec

__all__ = ["mend", "treatments_of"]


def mend(model: Callable[..., Any], treatments: str) -> Callable[..., Any]:
    """A network after one or several treatments; the one that is given stays as it is.

    >>> mended = eb.mend(model, "circular+canonical")  # doctest: +SKIP

    Weights and layers are shared with the network that was given. A model behind adapters is
    treated behind them.

    Args:
        model: from (B, C, H, W) to (B, C', H, W); treatments that change layers need one that is
            written in Python.
        treatments: names, joined by ``+`` in the order in which they are applied; arguments
            follow a colon: ``blur:size=5``.

    Raises:
        UsageError: there is no such treatment, or it does not take an argument.
        ModelError: the treatment cannot be applied; one that cannot be exact at the size of the
            images says so when it is given the first of them.
    """
    if isinstance(model, Adapted):
        return Adapted(mend(model.network, treatments), model.adaptation, model.label)
    for spec in treatments_of(treatments):
        entry = TREATMENTS.get(spec.reference)
        entry.check(spec.arguments)
        label = label_of(model)
        with guarded(
            lambda error, spec=spec, label=label: (  # type: ignore[misc]
                f"mend={spec.reference} cannot be applied to {label}: {kind_and_reason(error)}"
            )
        ):
            model = entry.require()(**spec.arguments)(model)
        if not callable(model):
            raise ModelError(f"mend={spec.reference} gave a {type(model).__name__}, not a network")
    return model


def treatments_of(text: str) -> list[Spec]:
    """The treatments that ``circular+blur:size=5`` names, each with its arguments.

    Raises:
        UsageError: a part without a name, or an argument that is not ``key=value``.
    """
    specs = []
    for part in text.split("+"):
        name, colon, rest = part.rpartition(":")
        named = colon and "=" in rest
        specs.append(Spec.parse(f"{name},{rest}" if named else part))
    return specs
