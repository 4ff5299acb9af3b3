"""The command line: every command under one name, and errors in one line."""

import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated

import typer

from equibench.commands.diagnosing import halo, probe, prove
from equibench.commands.guarding import check, ci_init, compare_runs
from equibench.commands.inventory import (
    data_list,
    data_prepare,
    data_verify,
    explain,
    list_entries,
)
from equibench.commands.joining import board_measure, board_page, board_verify, submit
from equibench.commands.measuring import quickstart, run
from equibench.commands.reporting import card, report, table
from equibench.commands.revisiting import diff, merge, rescore, show
from equibench.commands.training import mend, train
from equibench.errors import EquibenchError, told_more
from equibench.foundation.standard_streams import guard_streams
from equibench.inference.allocator import keep_memory

__all__ = ["app", "main"]

app = typer.Typer(
    name="equibench",
    help="Measure how far image-to-image networks are from shift equivariance.",
    epilog="Start with: equibench quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
ci_app = typer.Typer(help="Guard a model in CI.", no_args_is_help=True)
board_app = typer.Typer(help="A board of networks measured alike.", no_args_is_help=True)
data_app = typer.Typer(help="Look after the data of suites.", no_args_is_help=True)


def main() -> None:
    """Run the command line; a user's mistake is one line and an exit status."""
    guard_streams()
    keep_memory()
    try:
        try:
            _command()()
        finally:
            sys.stdout.flush()
    except EquibenchError as error:
        if str(error):
            print(f"equibench: {error}", file=sys.stderr)
            if error.topic:
                print(told_more(error.topic), file=sys.stderr)
        sys.exit(error.exit_status)


@cache
def _command() -> Callable[[], object]:
    """The program, made of its functions once in a process."""
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"equibench {version('equibench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


app.command()(quickstart)
app.command("ls")(list_entries)
app.command()(explain)
for command in (
    run,
    table,
    report,
    card,
    probe,
    prove,
    halo,
    mend,
    train,
    check,
    rescore,
    merge,
    diff,
    submit,
):
    app.command()(command)
app.command("compare")(compare_runs)
# a shift may be negative, which looks like an option
app.command(context_settings={"ignore_unknown_options": True})(show)
app.add_typer(data_app, name="data")
app.add_typer(ci_app, name="ci")
app.add_typer(board_app, name="board")
ci_app.command("init")(ci_init)
board_app.command("measure")(board_measure)
board_app.command("verify")(board_verify)
board_app.command("page")(board_page)
data_app.command("ls")(data_list)
data_app.command("verify")(data_verify)
data_app.command("prepare")(data_prepare)
