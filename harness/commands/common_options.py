"""What several commands take, and what they make of it."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from equibench.errors import UsageError
from equibench.registry import completion

__all__ = [
    "Data",
    "Device",
    "Format",
    "Isolate",
    "Model",
    "Out",
    "Precision",
    "Run",
    "Shown",
    "TrustPickle",
    "Write",
    "interrupted",
    "model_option",
    "roots",
    "run_argument",
    "suite_of",
    "suite_option",
]

_INTERRUPTED = 130
"""The exit status of what was stopped by Ctrl-C."""

Format = Literal["text", "markdown", "csv", "latex"]
Out = Annotated[Path | None, typer.Option("--out", help="The run folder.", metavar="DIR")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Where a suite's data are; repeatable.", metavar="SUITE=DIR"),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Precision = Annotated[str, typer.Option(help="fp32, fp64, tf32, bf16 or fp16.")]
TrustPickle = Annotated[
    bool, typer.Option("--trust-pickle", help="Read model files that can run code of their own.")
]
Isolate = Annotated[bool, typer.Option("--isolate", help="Run each model in a process of its own.")]
Shown = Annotated[
    Literal["table", "json", "junit", "github", "markdown"],
    typer.Option("--format", help="How it is written."),
]
Write = Annotated[
    list[Path] | None,
    typer.Option("--write", metavar="FILE", help="As well into .md, .xml or .json; repeatable."),
]


def model_option(help: str) -> Any:
    """``-m``, with the names that a shell completes."""
    return typer.Option(
        "-m", "--model", metavar="MODEL", autocompletion=completion.models, help=help
    )


def suite_option(help: str) -> Any:
    """``-s``, with the names that a shell completes."""
    return typer.Option(
        "-s", "--suite", metavar="SUITE", autocompletion=completion.suites, help=help
    )


def run_argument(help: str = "A run folder.", metavar: str = "RUN") -> Any:
    """Run folders, which a shell finds."""
    return typer.Argument(metavar=metavar, autocompletion=completion.runs, help=help)


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", autocompletion=completion.models, help="A model, as for run -m."
    ),
]
Run = Annotated[Path, run_argument()]


def suite_of(text: str, data: list[str] | None) -> Any:
    from equibench.loading.suites import build_suite
    from equibench.registry.specs import Spec

    return build_suite(Spec.parse(text), roots(data))


def roots(data: list[str] | None) -> dict[str, str]:
    roots = {}
    for text in data or []:
        suite, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UsageError(f"--data {text!r} is not SUITE=DIR")
        roots[suite] = folder
    return roots


def interrupted() -> typer.Exit:
    """Say, as a command that can be pasted, how what was stopped by Ctrl-C goes on."""
    command = shlex.join(["equibench", *sys.argv[1:]])
    typer.echo(f"\nequibench: interrupted; to go on: {command}", err=True)
    return typer.Exit(_INTERRUPTED)
