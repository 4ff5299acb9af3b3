"""The errors that equibench raises, one class for each person who meets them."""

__all__ = ["DataError", "EquibenchError", "ModelError", "UnavailableError", "UsageError"]


class EquibenchError(Exception):
    """Base class. Its message names the thing, the place and the remedy, in one line."""

    exit_status = 1


class UsageError(EquibenchError):
    """The user asked for something that cannot be done: mend the command and run it again."""

    exit_status = 2


class UnavailableError(UsageError):
    """Something is known but cannot run here: an extra or data is missing, a plugin is broken."""


class ModelError(EquibenchError):
    """A model could not be built, raised, or returned something that cannot be measured."""


class DataError(EquibenchError):
    """A file of a data set is missing, truncated or not what it should be."""
