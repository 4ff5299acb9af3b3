"""Commands that show what there is: ls, explain, and data ls, verify and prepare."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

import typer

from equibench.commands.common_options import Data, suite_of
from equibench.errors import UsageError
from equibench.registry import completion

__all__ = ["data_list", "data_prepare", "data_verify", "explain", "list_entries"]

Kind = Literal["models", "suites", "transforms", "metrics", "reports", "treatments", "trackers"]
SuiteSpec = Annotated[
    str,
    typer.Argument(
        metavar="SUITE", autocompletion=completion.suites, help="A suite, as for run -s."
    ),
]


def list_entries(
    kind: Annotated[Kind | None, typer.Argument(help="Which kind; all of them by default.")] = None,
    containing: Annotated[
        str, typer.Argument(metavar="TEXT", help="Only names that contain this.")
    ] = "",
) -> None:
    """Show what is registered, where it comes from and whether it can run here.

    \b
    Examples:
      equibench ls
      equibench ls models aps
    """
    from equibench.registry.listing import listing

    for wanted in [kind] if kind else get_args(Kind):
        typer.echo(listing(wanted, containing))


def explain(
    topic: Annotated[str | None, typer.Argument(help="As a message names it.")] = None,
) -> None:
    """Say more about a message: what it means, and what can be done.

    \b
    Examples:
      equibench explain
      equibench explain network-raises
    """
    from importlib.resources import files

    text = (files("equibench") / "troubleshooting.md").read_text(encoding="utf-8")
    sections = {
        section.partition("\n")[0].lower().replace(" ", "-"): section.strip()
        for section in text.split("\n## ")[1:]
    }
    if topic is None:
        typer.echo("\n".join(sections))
    elif topic in sections:
        typer.echo(sections[topic])
    else:
        raise UsageError(f"no topic is called {topic!r}. There are: {', '.join(sections)}")


def data_list() -> None:
    """Show which suites have their data here.

    \b
    Examples:
      equibench data ls
    """
    from equibench.registry.listing import listing

    typer.echo(listing("suites", ""))


def data_verify(suite: SuiteSpec, data: Data = None) -> None:
    """Count files and slices against what the paper used, and name each broken file.

    Of a folder of your own it says which kinds, sizes and values there are.

    \b
    Examples:
      equibench data verify fastmri --data fastmri=/data/knee
      equibench data verify folder,path=photos
    """
    found = suite_of(suite, data)
    check: Callable[[], Any] | None = getattr(found, "verify", None)
    if check is None:
        raise UsageError(f"suite {found.label!r} has nothing to verify")
    result = check()
    typer.echo(str(result))
    if not result.ok:
        raise typer.Exit(1)


def data_prepare(suite: SuiteSpec, data: Data = None) -> None:
    """Build what a suite computes once: sample images, filtered back projections.

    \b
    Examples:
      equibench data prepare mri-sample
      equibench data prepare lodopab --data lodopab=/data/lodopab
    """
    found = suite_of(suite, data)
    cases = found.cases()
    found.load(cases[0])
    typer.echo(f"{found.label}: {len(cases)} cases ready")
