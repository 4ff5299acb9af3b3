"""The zoo as a whole, and what builds one of its networks from the command line."""

from typing import Any

from zoo import callables, failing, numerics, outputs, remembering, wrapped
from zoo.entry import ZOO, Network

__all__ = ["ZOO", "Network", "network"]

_ROOMS = (callables, failing, numerics, outputs, remembering, wrapped)


def network(name: str) -> Any:
    """The network of a name."""
    return ZOO[name].build()
