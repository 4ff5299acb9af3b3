"""Mutation testing of one module: put small faults into it, and see whether a test fails.

    python tools/mutate.py harness/metrics/squared_error.py --store

Without ``--store`` (into ``results/mutation``), survivors are printed and no more. Which tests a
module answers to stands in ``pyproject.toml``, under ``[tool.mutate]``. mutmut knows what a small
fault is; its own runner wants sources in folders that are called like the packages. Here one pytest
process imports and collects everything once. Each mutant lives in a fork of it: the code of the
mutated function is exchanged there, and the tests that pass through the mutated statement run until
one fails, those first that have killed most, then the quickest.

Only bodies of functions are mutated. No mutants are: prose (a string with a space: wording is no
behaviour), ``encoding``, ``strict`` of ``zip``, and arguments of ``cast``, ``len`` and
``isinstance``.
"""

import argparse
import difflib
import gc
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType

import coverage
import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutation_table import store, survived
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 10.0
"""Seconds of CPU time; tests that take longer are left out."""
NO_MUTANT = 3
"""Status of a fork where the code cannot be exchanged."""
RAISED = 4
"""Status of a fork that raised other than in a test."""
HEADS = cst.BaseCompoundStatement | cst.ExceptHandler | cst.MatchCase


class Mutations(cst.CSTVisitor):
    """Collects (lines of the statement, node, what becomes of it)."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        self.found: list[tuple[range, cst.CSTNode, cst.CSTNode]] = []
        self.lines, self.depth = range(0), 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        name = getattr(getattr(node, "func", None), "value", None)
        keyword = getattr(getattr(node, "keyword", None), "value", None)
        prose = isinstance(node, cst.SimpleString) and " " in node.value
        declared = isinstance(node, cst.Annotation | cst.Decorator | cst.Parameters)
        if keyword in ("strict", "encoding") or prose or declared:
            return False
        if name in ("cast", "len", "isinstance"):
            return False
        if isinstance(node, HEADS | cst.SimpleStatementLine):
            place = self.get_metadata(PositionProvider, node)
            first, last = place.start.line, place.end.line
            if isinstance(node, HEADS):  # without what is below it
                below = node.cases if isinstance(node, cst.Match) else node.body.body
                last = max(first, self.get_metadata(PositionProvider, below[0]).start.line - 1)
            self.lines = range(first, last + 1)
        self.depth += isinstance(node, cst.FunctionDef)
        if self.depth and name != "zip":
            for kind, operator in mutation_operators:
                if isinstance(node, kind):
                    self.found += [(self.lines, node, mutated) for mutated in operator(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self.depth -= isinstance(original_node, cst.FunctionDef)


class Mutator:
    """A pytest plugin that runs the collected tests once for each mutant."""

    def __init__(self, file: Path, options: argparse.Namespace) -> None:
        self.file, self.options = file, options

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        name = ".".join(self.file.relative_to(ROOT).with_suffix("").parts)
        name = f"equibench.{name.removeprefix('harness.')}"
        imported = Path(import_module(name).__file__ or "")  # tests may do so late; may be a link
        source = self.file.read_text(encoding="utf-8")
        wrapper, visitor = MetadataWrapper(cst.parse_module(source)), Mutations()
        wrapper.visit(visitor)
        whole, live = compile(source, imported, "exec", dont_inherit=True), defaultdict(list)
        for thing in gc.get_objects():
            if type(thing) is FunctionType and thing.__code__.co_filename == str(imported):
                live[thing.__code__].append(thing)
        if not (live and imported.samefile(self.file)):
            pytest.exit(f"{self.file} is not what is imported: pip install -e .", returncode=1)
        gc.freeze()
        covering, seconds = self._traced(session, imported)
        kills, tried, survivors = Counter[str](), 0, list[tuple[int, str, str]]()
        module, number = self.file.relative_to(ROOT).as_posix(), len(visitor.found)
        random.Random(self.options.seed).shuffle(visitor.found)
        before_that, known = survived(module) if self.options.again else (0, set())
        for statement, node, mutated in visitor.found[: self.options.sample]:
            text = wrapper.module.deep_replace(node, mutated).code
            try:
                code = compile(text, imported, "exec", dont_inherit=True)
            except SyntaxError:
                continue
            if self.options.again and _changed(source, text) not in known:
                continue
            near = set().union(*(covering[line] for line in statement))
            tests = [item for item in session.items if item.nodeid in near]
            tests.sort(key=lambda item: (-kills[item.nodeid], seconds[item.nodeid]))

            def mutate(code: CodeType = code) -> None:
                _exchange(whole, code, live)

            limit = int(10 + 2 * sum(seconds[item.nodeid] for item in tests))
            status, killer = _forked(lambda: _run(session, tests, mutate), limit)  # noqa: B023
            if status == NO_MUTANT:
                continue
            if status == RAISED:  # it is the mutant's doing or ours: no score says which
                _, after = _changed(source, text)
                pytest.exit(f"{after!r}: what runs the tests raised {killer}", returncode=1)
            tried += 1
            kills[killer] += 1
            if not killer and not status:
                before, after = _changed(source, text)
                survivors.append((statement[0], before, after))
                print(f"survivor {len(survivors)}: line {statement[0]}, passed {len(tests)} tests")
                print(f"- {before}\n+ {after}", flush=True)
        tried = before_that or tried
        print(f"{module}: {tried} of {number} mutants tried, {tried - len(survivors)} killed "
              f"({1 - len(survivors) / max(tried, 1):.0%})")  # fmt: skip
        if self.options.store:
            store(module, number, tried, [(b, a) for _, b, a in sorted(survivors)])
        return True

    def _traced(
        self, session: pytest.Session, imported: Path
    ) -> tuple[dict[int, set[str]], dict[str, float]]:
        """The tests that pass through each line, and the CPU time that each test takes."""
        file = str(imported.resolve())
        measured, seconds = coverage.Coverage(data_file=None, include=[file]), {}

        def begin(item: pytest.Item) -> None:
            measured.switch_context(item.nodeid)
            seconds[item.nodeid] = -time.process_time()

        def end(item: pytest.Item) -> None:
            seconds[item.nodeid] += time.process_time()

        def trace() -> str:
            failed = _run(session, session.items, measured.start, begin, end)
            measured.stop()
            lines = measured.get_data().contexts_by_lineno(file)
            return json.dumps([failed, lines, seconds])

        status, answer = _forked(trace, limit=3600)
        if status:
            pytest.exit(f"what runs the tests raised {answer}", returncode=1)
        failed, lines, seconds = json.loads(answer)
        if failed:
            pytest.exit(f"{failed} fails without any mutation", returncode=1)
        quick = {test for test, took in seconds.items() if took <= LONGEST}
        return defaultdict(set, {int(n): quick & {*tests} for n, tests in lines.items()}), seconds


def _changed(source: str, mutated: str) -> tuple[str, str]:
    """The lines that differ, before and after."""
    lines = [*difflib.unified_diff(source.splitlines(), mutated.splitlines(), n=0, lineterm="")][3:]
    sides = ([line[1:].strip() for line in lines if line[0] == sign] for sign in "-+")
    before, after = map(" ".join, sides)
    return before, after


def _run(
    session: pytest.Session,
    tests: Sequence[pytest.Item],
    prepare: Callable[[], None],
    begin: Callable[[pytest.Item], None] = lambda item: None,
    end: Callable[[pytest.Item], None] = lambda item: None,
) -> str:
    """The first test that fails."""
    prepare()
    for number, item in enumerate(tests, start=1):
        following = tests[number] if number < len(tests) else None
        begin(item)
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except (KeyboardInterrupt, pytest.exit.Exception):  # of all that a test raises, only these
            return item.nodeid
        end(item)
        if session.testsfailed:
            return item.nodeid
    return ""


def _exchange(old: CodeType, new: CodeType, live: dict[CodeType, list[FunctionType]]) -> None:
    """Give functions their mutated code, wherever they have been imported."""
    for function in live.get(old, ()) if old != new else ():
        if old.co_freevars != new.co_freevars:
            os._exit(NO_MUTANT)
        function.__code__ = new
    inner = [[c for c in code.co_consts if isinstance(c, CodeType)] for code in (old, new)]
    if len(inner[0]) == len(inner[1]):
        for before, after in zip(*inner, strict=True):
            _exchange(before, after, live)


def _forked(work: Callable[[], str], limit: int) -> tuple[int, str]:
    """Work in silence in a process of its own, for so many seconds of CPU time: what it returns.

    The status is negative after a crash, or where there was no end, and ``RAISED`` where the work
    raised what it gives back then.
    """
    with tempfile.TemporaryFile("w+") as answer:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            status = RAISED
            try:
                silence = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silence, 1)
                os.dup2(silence, 2)
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
                signal.alarm(4 * limit)  # for what waits for ever
                answer.write(work())
                status = 0
            except BaseException as error:
                answer.write(repr(error))
            finally:
                answer.flush()
                os._exit(status)
        status = os.waitpid(child, 0)[1]
        answer.seek(0)
        return os.waitstatus_to_exitcode(status), answer.read()


def main() -> None:
    """Mutate one module."""
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutate"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module", choices=modules, help="a file that [tool.mutate] has tests for")
    parser.add_argument("--sample", type=int, help="try no more mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--again", action="store_true", help="try only those that survived")
    parser.add_argument("--store", action="store_true", help="keep the score in results/mutation")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.environ["OMP_NUM_THREADS"] = "1"  # threads do not survive a fork
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EQUIBENCH_CACHE"] = f"{folder}/cache"
        arguments = ["-s", "-q", "-m", "not long and not gpu", f"--basetemp={folder}/tests"]
        # pytest would rewrite the assertions of the package too: mutants are compiled without
        arguments += ["--assert=plain", "-p", "no:cacheprovider", *modules[options.module]]
        sys.exit(pytest.main(arguments, plugins=[Mutator(ROOT / options.module, options)]))


if __name__ == "__main__":
    main()
