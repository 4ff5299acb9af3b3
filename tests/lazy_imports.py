"""Libraries of others that few tests use and that take seconds: every process reads all files."""

from importlib import import_module

__all__ = ["Lazy"]


class Lazy:
    """A module that is imported with the first name that is taken from it.

    Private names are none: pytest asks everything that it finds in a test file for some.
    """

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        if name.startswith("_") and name != "__version__":
            raise AttributeError(name)
        return getattr(import_module(self._module), name)
