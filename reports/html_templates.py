"""How pages are made of templates: whatever names hold is shown, never run."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["templates"]


def templates(load: Callable[[str], str]) -> "Environment":
    """Templates that escape what they are given, and fail on what they are not.

    Args:
        load: gives the text of a template by name.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
