"""The toy board that several files share."""

from board_entries import toys

__all__ = ["toys"]
