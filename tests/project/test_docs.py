"""Documentation that runs, and that leaves nothing out."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from equibench.cli import app
from equibench.guard.tolerance import read_tolerances
from equibench.measurement.run_config import read_config, validated
from equibench.registry import registries

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "harness/troubleshooting.md",
]
WRITTEN = [
    *PAGES,
    *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *(ROOT / name for name in ("results/published/README.md", "reports/gallery/README.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]


def snippets(language):
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for i, code in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)):
            yield pytest.param(code, id=f"{page.stem}-{i}")


def shown(code):
    """What pages say that a snippet prints: the blocks right below it, as lines."""
    below = re.escape(code) + r"```\n\n```text\n(.*?)```"
    texts = (page.read_text(encoding="utf-8") for page in PAGES)
    return [b.splitlines() for text in texts for b in re.findall(below, text, re.DOTALL)]


def agree(line, printed):
    """Whether a line of a page is one that was printed; … is what no two runs share."""
    return re.fullmatch(".+".join(map(re.escape, line.split("…"))), printed) is not None


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
    """The files that pages name in the first line of a snippet, and the images of its reader."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL):
            (tmp_path / name).write_text(code)
    random = np.random.default_rng(0)
    for folder in ("photos", "sharp"):
        (tmp_path / folder).mkdir()
        for name in ("beach1", "beach2", "wood1"):
            pixels = random.integers(0, 256, (72, 80), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "masks").mkdir()
    for name in ("beach1", "beach2", "wood1"):
        classes = random.choice([0, 1, 2, 255], (72, 80)).astype(np.uint8)
        Image.fromarray(classes).save(tmp_path / "masks" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("net", None)


@pytest.mark.slow
@pytest.mark.parametrize("code", list(snippets("python")))
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_python_snippets_run(code, files, capsys):
    exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})
    assert ("eq_nmse" in capsys.readouterr().out) == ("print(" in code)


@pytest.mark.long
@pytest.mark.parametrize("code", list(snippets("sh")))
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_shell_snippets_run(code, files, cli):
    """All but the two that install everything: CI itself is the second."""
    if "net.onnx" in code:
        path = {**os.environ, "PYTHONPATH": str(files)}
        command = [sys.executable, "export.py"]
        subprocess.run(command, cwd=files, env=path, check=True, capture_output=True)
    out = ""
    for line in filter(None, code.splitlines()):
        if "tox" in line:
            ini = (ROOT / "tox.ini").read_text(encoding="utf-8")
            assert "[testenv:quickstart]" in ini
            continue
        program, *arguments = shlex.split(line)
        assert program == "equibench"
        status, out, said = cli(*arguments)
        assert status == 0, said
    for block in shown(code):
        printed = out.strip().splitlines()
        assert all(map(agree, block, printed)), printed
        assert len(block) == len(printed), "the whole of what the last command prints"


BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NOT_RUN_HERE = {
    "CONTRIBUTING.md sh": "installs everything; CI itself does",
    "docs/architecture.md mermaid": "test_architecture reads it",
    "docs/board.md console": "takes hours",
    "docs/cluster.md console": "needs a cluster; test_cluster has one of its own",
    "docs/data.md": "names of files",
    "docs/guard.md console": "test_examples runs it",
    "docs/guard.md text": "test_examples compares it",
    "docs/paper.md": "needs the paper's data and a GPU",
    "examples/board/README.md": "fetches packages",
    "examples/plugin/README.md": "test_examples runs it",
    "reports/gallery/README.md": "takes minutes",
    "docs/integrations.md yaml": "test_examples runs the action that it names",
    "results/published/README.md": "takes hours",
}
"""Why a block of a page, in a language, is none that these tests run, read or compare."""


def test_each_block_of_code_runs_or_has_a_reason():
    """TOML is read below; command lines of all blocks are tried further below."""
    left = set()
    for page in WRITTEN:
        name = str(page.relative_to(ROOT))
        text = page.read_text(encoding="utf-8")
        run = {"python", "sh", "toml"} if page in PAGES else set()
        for language, code in BLOCK.findall(text):
            compared = language == "text" and re.search(
                r"```sh\n[^`]*```\n\n```text\n" + re.escape(code), text
            )
            if language not in run and not compared:
                left.add(f"{name} {language}".strip())
    assert left == set(NOT_RUN_HERE)


@pytest.mark.parametrize("code", list(snippets("toml")))
def test_toml_of_the_pages_is_taken(code, tmp_path):
    content = tomllib.loads(code)
    file = tmp_path / "given.toml"
    file.write_text(code, encoding="utf-8")
    if "tolerance" in content:
        assert read_tolerances(file)
    elif "project" in content:
        groups = {registry.group for registry in vars(registries).values()
                  if isinstance(registry, registries.Registry)}  # fmt: skip
        assert set(content["project"]["entry-points"]) <= groups
    else:
        assert validated(read_config(file), "given.toml").models == tuple(content["models"])


def anchors(page):
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            file, _, heading = link.partition("#")
            target = page.parent / file if file else page
            assert target.exists(), link
            assert not heading or heading in anchors(target), link


def command_lines():
    """Every command line of ours in a code block, a comment of a configuration or a help."""
    texts = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in WRITTEN}
    texts = {name: "\n".join(re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE))
             for name, text in texts.items()}  # fmt: skip
    texts |= {name: command.help or "" for name, command in ALL.items()}
    for folder in ("examples", "results"):
        for file in sorted((ROOT / folder).rglob("*.toml")):
            texts[str(file.relative_to(ROOT))] = file.read_text(encoding="utf-8")
    for name, text in texts.items():
        for line in re.findall(r"^(?:\$|#)?\s*(equibench \w.*)$", text, re.MULTILINE):
            alone = re.split("  #| > ", line)[0]
            yield pytest.param(alone, id=f"{name}: {line}"[:90])


@pytest.mark.parametrize("line", list(command_lines()))
def test_command_lines_name_commands_and_options_that_there_are(line):
    _, *arguments = shlex.split(line)
    command, name = typer.main.get_command(app), "equibench"
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    assert command.make_context(name, arguments).command is command


def test_the_readme_has_the_figures_of_the_stored_benchmarks():
    tool = runpy.run_path(str(ROOT / "tools/benchmark_table.py"))
    results = json.loads(tool["FIGURES"].read_text(encoding="utf-8"))
    gpu = tool["stored"](tool["GPU_FIGURES"])
    assert tool["table"](results, gpu) in (ROOT / "README.md").read_text(encoding="utf-8")
