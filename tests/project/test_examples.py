"""The example project, the guide and the benchmarks: their commands run and do what they say."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template

import processes
import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/ci"
GUIDE = ROOT / "docs/guard.md"


def execute(line, folder):
    """Run a pytest or an equibench command line, side by side with no other test."""
    program, *arguments = shlex.split(line)
    alone = {name: "" for name in os.environ if name.startswith("PYTEST_XDIST")}
    options = {"PYTEST_ADDOPTS": "-p no:odl_plugins", "PYTHONPATH": str(folder)}
    return processes.execute(program, arguments, folder, **alone, **options)


def workflow():
    """The shell commands of the GitHub Actions workflow, without the installation."""
    content = yaml.safe_load((EXAMPLE / ".github/workflows/equivariance.yml").read_text())
    commands = [step["run"] for step in content["jobs"]["guard"]["steps"] if "run" in step]
    assert commands.pop(0) == "pip install equibench pytest"
    return commands


def hook():
    content = yaml.safe_load((EXAMPLE / ".pre-commit-config.yaml").read_text())
    return content["repos"][0]["hooks"][0]


@pytest.fixture
def example(tmp_path):
    """A copy of the example project."""
    return shutil.copytree(EXAMPLE, tmp_path / "ci", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.long
def test_the_workflow_and_the_hook_pass_as_they_are(example):
    commands = workflow()
    assert [command.split()[0] for command in commands] == ["pytest", "equibench", "equibench"]
    for command in [*commands, hook()["entry"]]:
        done = execute(command, example)
        assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(hook()["files"], "net.py")


@pytest.mark.long
def test_the_workflow_and_the_hook_fail_after_a_zero_pad(example):
    net = example / "net.py"
    net.write_text(net.read_text().replace('"circular"', '"zeros"'))
    tests, measure, check = (execute(command, example) for command in workflow())
    assert [each.returncode for each in (tests, measure, check)] == [1, 0, 1]
    assert "worst equivariance NMSE is" in tests.stdout
    assert check.stdout.startswith("::error title=equibench%3A regression::regression: net · noise")
    assert execute(hook()["entry"], example).returncode == 1
    assert len(list((example / "report").rglob("worst.npz"))) == 2


@pytest.mark.long
def test_the_action_passes_as_it_is_and_fails_after_a_zero_pad(example):
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    given = {name: each.get("default") for name, each in action["inputs"].items()}
    assert [name for name, value in given.items() if value is None] == ["model"]
    given["model"] = "net.py:build,label=net"
    install, *steps, summary = action["runs"]["steps"]
    assert (install["name"], summary["name"]) == ("Install", "Summary")
    assert all(step["shell"] == "bash" for step in action["runs"]["steps"])
    commands = []
    for step in steps:
        assert "inputs" not in step["run"], "as text an input could be a command"
        values = {name: given[re.search(r"inputs.(\w+)", value)[1]]
                  for name, value in step["env"].items()}  # fmt: skip
        commands.append(Template(step["run"]).substitute(values))
    assert [execute(command, example).returncode for command in commands] == [0, 0]
    assert (example / action["outputs"]["run"]["value"] / "run.json").exists()
    assert summary["run"].startswith("cat equivariance.md >>")
    assert "net" in (example / "equivariance.md").read_text(encoding="utf-8")
    net = example / "net.py"
    net.write_text(net.read_text().replace('"circular"', '"zeros"'))
    shutil.rmtree(example / "runs")
    assert [execute(command, example).returncode for command in commands] == [0, 1]


def test_the_pre_commit_hook_is_the_one_that_the_example_has(example):
    (mine,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    same = ("id", "name", "entry", "language", "files", "pass_filenames")
    assert {key: mine[key] for key in same} == {key: hook()[key] for key in same}


@pytest.mark.long
def test_the_commands_of_the_guide_run_in_their_order(tmp_path):
    text = GUIDE.read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(# test_net.py\n.*?)```", text, re.DOTALL)
    (tmp_path / "test_net.py").write_text(source)
    commands = re.findall(r"^\$ (pytest.*)$", text, re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        done = execute(command, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "test_net.py").write_text(source.replace('"circular"', '"zeros"'))
    done = execute("pytest", tmp_path)
    shown = "".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL))
    said = [line for line in shown.splitlines() if "…" not in line]
    assert len(said) == 3
    assert [line for line in said if f"E       {line}" not in done.stdout.splitlines()] == []


@pytest.mark.long
def test_the_plugin_package_installs_and_is_found(tmp_path):
    source = shutil.copytree(ROOT / "examples/plugin", tmp_path / "plugin")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
               "--no-build-isolation", "--target", tmp_path, source]  # fmt: skip
    subprocess.run(install, check=True, capture_output=True)
    commands = re.findall(r"^((?:equibench|pytest) .*)$", (source / "README.md").read_text(), re.M)
    assert len(commands) == 3
    for command in commands:
        done = execute(command.replace("examples/plugin", "plugin"), tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        if " ls " in command:
            assert "✓ example-resnet  three residual blocks" in done.stdout
            assert "(equibench-example 1.0)" in done.stdout


def test_the_run_of_libraries_names_twelve_of_six_and_the_nine_variants():
    from equibench.measurement.run_config import read_config, validated
    from equibench.registry.registries import MODELS
    from equibench.registry.specs import Spec

    config = validated(read_config(ROOT / "examples/libraries.toml"), "libraries.toml")
    theirs, *ours = ([Spec.parse(m) for m in block.models] for block in config.blocks)
    assert len(theirs) == 12
    assert len({spec.reference.partition("-")[0] for spec in theirs}) >= 6
    assert [len(block) for block in ours] == [9, 9]
    for spec in [*theirs, *ours[0], *ours[1]]:
        MODELS.get(spec.reference).check(spec.arguments)


@pytest.mark.long
def test_benchmarks_keep_speed_and_equivariance_in_one_file(tmp_path):
    quick = "--benchmark-min-rounds=1 --benchmark-max-time=0.01 --benchmark-json=bench.json"
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    done = execute(f"pytest {quick} benchmarks/test_unet.py", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "bench.json").read_text(), parse_constant=pytest.fail)
    found = {
        b["params"]["variant"]: (b["stats"]["mean"], b["extra_info"]["equivariance"][0])
        for b in content["benchmarks"]
    }
    assert set(found) == {"unet-baseline", "unet-lpf-3", "unet-aps", "unet-aps-3"}
    assert all(seconds > 0 for seconds, _ in found.values())
    worst = {variant: figures["eq_nmse_worst"] for variant, (_, figures) in found.items()}
    assert max(worst["unet-aps"], worst["unet-aps-3"]) < 1e-12 < worst["unet-lpf-3"]
