"""Modules that are imported with their first use."""

from importlib import import_module

__all__ = ["Lazy"]


class Lazy:
    """Stands for a module until something of it is needed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        value = getattr(import_module(self._name), attribute)
        setattr(self, attribute, value)  # found at once from now on
        return value
