"""The pytest plugin: the fixture and the marker ``equivariance``, and two options.

Imports neither torch nor pandas: most of the tests that it is loaded for do not use it.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from equibench.guard.pytest_fixture import Equivariance

__all__ = ["equivariance"]

_PROPERTY = "equivariance"
_LONGEST = 120


@pytest.fixture
def equivariance(request: pytest.FixtureRequest) -> "Equivariance":
    """Measure a model, and compare it with limits or with the baseline beside the test."""
    from equibench.guard.pytest_fixture import Equivariance

    node = request.node
    settings: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers("equivariance"))):  # the closest one wins
        settings |= mark.kwargs
    report = request.config.getoption("equivariance_report")
    name = _file_name(node)
    return Equivariance(
        test=node.nodeid,
        baseline=node.path.parent / "equivariance" / node.path.stem / f"{name}.json",
        update=request.config.getoption("equivariance_update") or "",
        report=_report_folder(Path(report), node, name) if report else None,
        settings=settings,
        record=lambda entry: node.user_properties.append((_PROPERTY, entry)),
        show=lambda text: node.add_report_section("call", "equivariance", text),
        ask=lambda text: _asked(request.config, text),
    )


def _asked(config: pytest.Config, text: str) -> bool:
    """What a person at the terminal answers to a question; where there is none, no."""
    if hasattr(config, "workerinput"):  # xdist's workers have no terminal
        return False
    with ExitStack() as stack:
        if capture := config.pluginmanager.getplugin("capturemanager"):
            capture.suspend(in_=True)
            stack.callback(capture.resume)
        return sys.stdin.isatty() and input(f"\n{text} [y/N] ").strip().lower() in ("y", "yes")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("equivariance", "shift equivariance (equibench)")
    group.addoption(
        "--equivariance-update",
        action="store_const",
        const="better",
        help="write the baselines of tests that use the fixture `equivariance`; those that would "
        "get worse only if a person at the terminal says so",
    )
    # an option of its own, so that the path of a test can follow the one above
    group.addoption(
        "--equivariance-update=worse",
        action="store_const",
        const="worse",
        dest="equivariance_update",
        help="write them all",
    )
    group.addoption(
        "--equivariance-report",
        metavar="DIR",
        help="save the worst image of each failure and a summary.json there",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "equivariance(shifts=..., precision=..., ...): settings of the fixture `equivariance`; "
        "every test that uses it carries the marker",
    )
    if not hasattr(config, "workerinput"):  # what xdist's workers report arrives here
        config.pluginmanager.register(
            _Summary(config.getoption("equivariance_report"), config.rootpath)
        )


def pytest_itemcollected(item: pytest.Item) -> None:
    if "equivariance" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.equivariance)


class _Summary:
    """What the fixtures of a session found, and which baselines belong to no test any more."""

    def __init__(self, report: str | None, root: Path) -> None:
        self.report = Path(report).absolute() if report else None
        self.root = root
        self.entries: list[dict[str, Any]] = []
        self.tests: dict[Path, set[str]] = {}
        self.broken: set[Path] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self.tests.setdefault(item.path, set()).add(_file_name(item))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and report.fspath:
            self.broken.add(Path(report.fspath).absolute())

    def orphans(self, config: pytest.Config) -> list[Path]:
        """Baselines of tests that are gone, beside the test files that were collected whole."""
        if any("::" in argument for argument in config.args) or config.getoption("lf", False):
            return []
        found = []
        for folder in {path.parent for path in self.tests}:
            for file in sorted(folder.glob("equivariance/*/*.json")):
                test = folder / f"{file.parent.name}.py"
                known = self.tests.get(test)
                if test.exists() and (known is None or test in self.broken):
                    continue
                # a second call in the same test has a number
                names = {file.stem, re.sub(r"\.\d+$", "", file.stem)}
                if not names & (known or set()):
                    found.append(file)
        return found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.entries += [
                {"test": _test_path(self.root, report.nodeid), **value}
                for name, value in report.user_properties
                if name == _PROPERTY and isinstance(value, dict)
            ]

    @pytest.hookimpl(wrapper=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, None, None]:
        yield
        for file in self.orphans(terminalreporter.config):
            terminalreporter.write_line(f"equivariance: no test has the baseline {file}: delete it")
        if not self.entries:
            return
        count: dict[str, int] = {}
        for entry in self.entries:
            count[entry["outcome"]] = count.get(entry["outcome"], 0) + 1
        said = ", ".join(f"{count[outcome]} {outcome}" for outcome in sorted(count))
        unlike = sum("repeatability" in entry for entry in self.entries)
        said += f"; {unlike} of networks that do not repeat themselves" if unlike else ""
        if self.report:
            said += f"; {_merged(self.report, self.entries)}"
        terminalreporter.write_line(f"equivariance: {said}")


def _merged(report: Path, entries: Sequence[Mapping[str, Any]]) -> Path:
    """Write what was found into a report's summary, beside what other sessions found there."""
    from equibench.foundation.atomic_files import replacing
    from equibench.foundation.file_locks import locked

    report.mkdir(parents=True, exist_ok=True)
    file = report / "summary.json"
    with locked(report / ".summary.lock", wait=True):
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = []
        mine = {entry["test"] for entry in entries}
        known = before if isinstance(before, list) else []
        others = [e for e in known if isinstance(e, dict) and e.get("test") not in mine]
        with replacing(file) as temporary:
            content = json.dumps([*others, *entries], indent=2)
            temporary.write_text(f"{content}\n", encoding="utf-8")
    return file


def _report_folder(report: Path, node: pytest.Item, name: str) -> Path:
    """Of one test in a report: where its file is in the repository, and its name."""
    file = _test_path(node.config.rootpath, node.nodeid).partition("::")[0]
    return report.absolute() / Path(file).with_suffix("") / name


def _test_path(root: Path, nodeid: str) -> str:
    """A test as its repository has it: packages with a ``rootdir`` of their own share reports."""
    file, colons, name = nodeid.partition("::")
    path = Path(os.path.normpath(root / file))
    top = next((folder for folder in path.parents if (folder / ".git").exists()), root)
    inside = path.relative_to(top) if path.is_relative_to(top) else path.relative_to(path.anchor)
    return f"{inside.as_posix()}{colons}{name}"


def _file_name(node: pytest.Item) -> str:
    """A test's name as a file name; a digest tells apart what would become the same."""
    name = node.nodeid.partition("::")[2].replace("::", ".")
    plain = re.sub(r"[^\w.,=\[\]-]+", "-", name)[:_LONGEST]
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return plain if plain == name else f"{plain}-{digest}"
