"""Commands of the board: submit; board measure, verify, page."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equibench.commands.common_options import Run, interrupted, model_option, suite_option
from equibench.commands.opened_runs import opened
from equibench.commands.reporting import finish, show
from equibench.errors import EquibenchError, UsageError

if TYPE_CHECKING:
    from equibench.board.definition import Board

__all__ = ["board_measure", "board_page", "board_verify", "submit"]

BoardFile = Annotated[
    Path | None,
    typer.Option("--board", metavar="FILE", help="Another board's TOML; equibench's by default."),
]
Entries = Annotated[Path, typer.Option("--entries", metavar="DIR", help="The folder of entries.")]
ENTRIES = Path("results/board/entries")
OwnDevice = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")]


def submit(
    run: Run,
    model: Annotated[
        str | None, typer.Option("-m", "--model", metavar="LABEL", help="Where it has several.")
    ] = None,
    trained: Annotated[
        str | None, typer.Option(metavar="TEXT", help="On what, in a few words.")
    ] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="It starts from the seed, and learned nothing.")
    ] = False,
    source: Annotated[str, typer.Option(help="Where the weights are, or the paper is.")] = "",
    licence: Annotated[str, typer.Option(help="Of network and weights.")] = "",
    board: BoardFile = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="A folder, or a name in .json.")
    ] = Path(),
) -> None:
    """Make an entry of the board from a run: it is checked, its network looked into.

    \b
    Examples:
      equibench submit runs/ours --trained "fastMRI knees" --source https://example.org/ours
      equibench submit runs/several -m ours --untrained -o results/board/entries
    """
    from equibench.board.standings import standings
    from equibench.board.submission import entry_of, only_model

    if trained is not None and untrained:
        raise UsageError("--trained and --untrained: choose one")
    if trained is not None and not trained.strip():
        raise UsageError("--trained: say on what; of an initialisation, --untrained")
    folder = opened(run)
    entry = entry_of(
        folder,
        _board(board),
        only_model(folder, model),
        trained="" if untrained else trained,
        source=source,
        licence=licence,
    )
    for motion, reason in entry.refused.items():
        typer.echo(f"not measured: {motion}: {reason}", err=True)
    for line in standings([entry]):
        if not line.rank:
            typer.echo(f"no rank: each of its outputs is one value, on {line.suite}", err=True)
    file = entry.write(out)
    typer.echo(f"entry: {file}")
    typer.echo(
        "to send it: put it into results/board/entries of a clone of equibench, commit it alone, "
        "and open a pull request; the network itself is not sent"
    )


def board_measure(
    model: Annotated[
        list[str] | None,
        model_option("A network of your own; by default all that the board names. Repeatable."),
    ] = None,
    suite: Annotated[
        list[str] | None, suite_option("With -m: a suite of the board; repeatable.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="LABEL", help="Of those that it names; repeatable."),
    ] = None,
    device: OwnDevice = None,
    board: BoardFile = None,
    entries: Entries = ENTRIES,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="For runs; of -m, the run folder.")
    ] = Path("equibench-runs/board"),
) -> None:
    """Measure networks with the board's settings; the same command again goes on.

    \b
    Examples:
      equibench board measure -m net.py:build,label=ours --out runs/ours
      equibench board measure --only monai-unet --only dival-unet
      equibench board measure
    """
    from equibench.board.measuring import measure, measure_own

    asked = _board(board)
    try:
        if model:
            if only:
                raise UsageError("--only names networks of the board, and -m one of your own")
            if len(model) > 1:
                raise UsageError("one network is one run: name one -m at a time")
            folder = measure_own(asked, model[0], suite or (), out, device)
            show(folder)
            if folder.has_rows and not folder.lacking:
                typer.echo("a board divides these errors by what varies of the output")
                typer.echo(f"next: equibench submit {out} --trained 'on what' (or --untrained)")
            finish(folder)
            return
        if suite:
            raise UsageError("-s belongs to -m: the networks of the board have their suites")
        failed = measure(asked, entries, out, _say, chosen=only or (), device=device)
    except KeyboardInterrupt:
        raise interrupted() from None
    if failed:
        typer.echo(f"without an entry: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def board_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An entry.")],
    model: Annotated[
        str | None, model_option("Where the network is here, if not where the entry says.")
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="How many of each suite are repeated.")] = 1,
    every: Annotated[bool, typer.Option("--all", help="Repeat every case.")] = False,
    device: OwnDevice = None,
    board: BoardFile = None,
) -> None:
    """Repeat a sample of an entry's rows; exit status 1 where they are others.

    \b
    Examples:
      equibench board verify results/board/entries/ours-1a2b3c4d.json
      equibench board verify ours-1a2b3c4d.json -m net.py:build,weights=ours.safetensors --all
    """
    from equibench.board.entry import read_entry
    from equibench.board.verification import verify

    entry = read_entry(file)
    found = verify(
        entry, _board(board), cases=cases, every=every, model=model, device=device, say=_say
    )
    typer.echo(f"{entry.label}: {found.sentence}")
    if not found.holds:
        raise typer.Exit(1)


def board_page(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Where the page is written.")
    ] = Path("reports/board"),
    tables: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the tables are written.")
    ] = Path("results/board/tables"),
    board: BoardFile = None,
    entries: Entries = ENTRIES,
) -> None:
    """Make the board of all entries: one page, tables, findings.

    \b
    Examples:
      equibench board page
      equibench board page --entries entries -o page --tables page/tables
    """
    from equibench.board.conditions import unlike
    from equibench.board.entry import Entry, read_entries, told_apart
    from equibench.reports.board.board_page import write_board
    from equibench.reports.board.board_tables import write_board_tables

    found = read_entries(entries)
    if not found:
        raise EquibenchError(f"{entries} has no entries yet: equibench board measure")
    asked, fitting = _board(board), list[Entry]()
    for entry in found:
        config = asked.run(entry.model, asked.suites, device=entry.conditions["device"])
        if other := unlike(entry.conditions, config):
            typer.echo(f"left out: {entry.label} was measured otherwise: {other[0]}", err=True)
        elif gap := next(entry.gaps(), ""):
            typer.echo(f"left out: {entry.label} has {gap}", err=True)
        else:
            fitting.append(entry)
    found = told_apart(fitting)
    typer.echo(f"page: {write_board(asked, found, out)}")
    for file in write_board_tables(asked, found, tables):
        typer.echo(f"table: {file}")


def _board(file: Path | None) -> "Board":
    from equibench.board.definition import read_board

    return read_board(file)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
