"""Run folders as commands take them: nothing damaged, and what is not there said."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from equibench.errors import EquibenchError, told_more

if TYPE_CHECKING:
    from equibench.runs.run_folder import RunFolder

__all__ = ["opened", "say_failures", "say_shortfall", "without_rows"]

_SHOWN = 10
"""Failures that are told."""


def opened(path: Path) -> "RunFolder":
    """A run folder of which every file is as it was written.

    Raises:
        UsageError: it is none, or of another schema version.
        EquibenchError: a file is damaged, or gone.
    """
    from equibench.runs.run_folder import RunFolder

    folder = RunFolder(path)
    folder.verify()
    return folder


def without_rows(folder: "RunFolder") -> EquibenchError:
    """What is said where there is nothing to show."""
    if folder.shortfall:
        return EquibenchError(f"{folder.path} has no rows yet: run the same command again")
    return EquibenchError(f"{folder.path} has no rows: nothing of it could be measured")


def say_shortfall(folder: "RunFolder") -> None:
    """On standard error, that a run has not finished."""
    if folder.shortfall:
        typer.echo(
            f"not all of it: {folder.path} {folder.shortfall}; its command resumes it", err=True
        )


def say_failures(folder: "RunFolder") -> None:
    """On standard error, each reason once."""
    messages = dict.fromkeys(failure["message"] for failure in folder.failures)
    for message in list(messages)[:_SHOWN]:
        typer.echo(f"failed: {message}", err=True)
    for topic in dict.fromkeys(failure.get("topic", "") for failure in folder.failures):
        if topic:
            typer.echo(told_more(topic), err=True)
    if len(messages) > _SHOWN:
        more = len(messages) - _SHOWN
        typer.echo(f"… and {more} more in {folder.path}/failures*.json", err=True)
