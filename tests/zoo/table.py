"""The zoo as a whole, and what builds one of its networks from the command line."""

from typing import Any

from zoo import callables, failing, numerics, outputs, remembering, wrapped
from zoo.entry import ZOO, Network
from zoo.state import state

__all__ = ["WATCHED", "ZOO", "Network", "network", "watched"]

_ROOMS = (callables, failing, numerics, outputs, remembering, wrapped)


def network(name: str) -> Any:
    """The network of a name."""
    return ZOO[name].build()


WATCHED: dict[str, tuple[Any, dict[str, Any]]] = {}
"""Networks that were built to be watched, and what they were then."""


def watched(name: str) -> Any:
    """The network of a name; whoever asked for it can be held to leave it as it is."""
    model = network(name)
    getattr(model, "forward", None)  # TorchScript keeps methods that it was asked for
    WATCHED[name] = model, state(model)
    return model
