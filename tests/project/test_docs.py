"""Documentation that runs, and that leaves nothing out."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from equibench.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def snippets(language):
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for i, code in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            yield pytest.param(code, id=f"{page.stem}-{i}")


def commands(group, prefix):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


ALL = dict(commands(typer.main.get_command(app), "equibench"))


def section(name):
    """What docs/commands.md says of a command: from its heading, or bullet, to the next one."""
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    parts = re.split(r"^(?:## |\* (?=`equibench ))", text, flags=re.MULTILINE)
    found = [part for part in parts if re.match(rf"`{name}[ `]", part)]
    assert len(found) == 1, f"{name} has {len(found)} sections"
    return found[0]


def named(name):
    """The options that stand in the code of a command's section."""
    code = re.sub(r"^```.*?^```", "", section(name), flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", code)
    return {o for span in spans for o in re.findall(r"(?:^|\s)(--?[a-z][a-z-]*)", span)}


def options(name):
    return {o for p in ALL[name].params for o in p.opts if o.startswith("-")} - {"--help"}


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_is_documented_where_the_command_is(name):
    assert options(name) <= named(name)


@pytest.mark.parametrize("name", ALL)
def test_no_option_is_documented_that_a_command_does_not_have(name):
    assert named(name) <= options(name)


@pytest.mark.parametrize("name", ALL)
def test_every_help_has_an_example_of_its_own_command(name):
    assert f"  {name}" in (ALL[name].help or "")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files that pages name in the first line of a snippet, beside the one that runs."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL):
            (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("net", None)


@pytest.mark.parametrize("code", list(snippets("python")))
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_python_snippets_run(code, files, capsys):
    exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})
    assert ("eq_nmse" in capsys.readouterr().out) == ("print(" in code)


@pytest.mark.parametrize("code", list(snippets("sh")))
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_shell_snippets_run(code, files, cli):
    """All but the two that install everything: CI itself is the second."""
    if "net.onnx" in code:
        path = {**os.environ, "PYTHONPATH": str(files)}
        command = [sys.executable, "export.py"]
        subprocess.run(command, cwd=files, env=path, check=True, capture_output=True)
    for line in filter(None, code.splitlines()):
        if "tox" in line:
            ini = (ROOT / "tox.ini").read_text(encoding="utf-8")
            assert "[testenv:quickstart]" in ini
            continue
        program, *arguments = shlex.split(line)
        assert program == "equibench"
        status, _, said = cli(*arguments)
        assert status == 0, said


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("http") or (page.parent / link).exists(), (page.name, link)


def test_the_readme_has_the_figures_of_the_stored_benchmarks():
    tool = runpy.run_path(str(ROOT / "tools/benchmark_table.py"))
    results = json.loads(tool["FIGURES"].read_text(encoding="utf-8"))
    assert tool["table"](results) in (ROOT / "README.md").read_text(encoding="utf-8")
