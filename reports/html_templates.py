"""How pages are made of templates: whatever names hold is shown, never run."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["breakable", "templates"]


def templates(load: Callable[[str], str]) -> "Environment":
    """Templates that escape what they are given, and fail on what they are not.

    Args:
        load: gives the text of a template by name.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    return environment


def breakable(text: str) -> "Markup":
    """Text whose lines may break behind the separators of file names, and so not inside words."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([/\\_])", r"\1<wbr>", str(escape(text))))
