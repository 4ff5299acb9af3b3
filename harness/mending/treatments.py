"""The treatments that come with equibench, as registered factories.

A factory takes a treatment's arguments and returns what takes a network to the treated one.
"""

from collections.abc import Callable
from typing import Any

from equibench.errors import UsageError
from equibench.registry.registries import register_treatment

__all__ = ["aps", "average", "blur", "canonical", "circular"]

Treat = Callable[[Any], Any]


@register_treatment(
    "circular",
    summary="padding wraps around: zeros, reflection and replication, in whatever layer or line",
    retraining=True,
    exact=False,
)
def circular() -> Treat:
    return lambda model: _rewritten(model, circular=True)


@register_treatment(
    "blur",
    summary="strided layers become dense ones, a binomial blur (size=2, 3 or 5) and subsampling",
    retraining=True,
    exact=False,
    citation="Zhang, ICML 2019",
)
def blur(size: int = 3) -> Treat:
    if size not in (2, 3, 5):
        raise UsageError(f"blur:size={size}: binomial blurs have 2, 3 or 5 taps here")
    return lambda model: _rewritten(model, blur=size)


@register_treatment(
    "aps",
    summary="strided layers keep a polyphase component (APS-D), upsampling puts it back (APS-U)",
    retraining=True,
    exact=True,
    citation="Chaman and Dokmanić, Asilomar 2021",
)
def aps() -> Treat:
    return lambda model: _rewritten(model, adaptive=True)


@register_treatment(
    "canonical",
    summary="images are moved to a canonical position on the sampling grid, outputs moved back",
    retraining=False,
    exact=True,
)
def canonical() -> Treat:
    from equibench.mending.moved_images import Canonical

    return Canonical


@register_treatment(
    "average",
    summary="the mean over all positions on the sampling grid, or over n of them (n=8)",
    retraining=False,
    exact=True,
)
def average(n: int = 0) -> Treat:
    if n < 0:
        raise UsageError(f"average:n={n}: at least one position, or 0 for all")

    from equibench.mending.moved_images import Averaged

    return lambda model: Averaged(model, n)


def _rewritten(model: Any, **changes: Any) -> Any:
    from equibench.mending.rewriting.plans import Plan
    from equibench.mending.rewriting.rewritten import Rewritten

    if isinstance(model, Rewritten):
        return model.also(**changes)
    return Rewritten(model, Plan(**changes))
