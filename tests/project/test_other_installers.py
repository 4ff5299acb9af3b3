"""Docker and conda install what pip installs."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from equibench.cli import app

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPE = yaml.safe_load((ROOT / "install/conda/recipe.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "install/Dockerfile").read_text(encoding="utf-8")
CONDA_NAMES = {"torch": "pytorch"}


def as_conda(requirement):
    name, version = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()
    return f"{CONDA_NAMES.get(name, name)} {version}".strip()


def test_the_recipe_is_that_of_this_version():
    assert RECIPE["package"] == {"name": PROJECT["name"], "version": PROJECT["version"]}
    assert RECIPE["about"]["summary"] == PROJECT["description"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    scripts = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == scripts


def test_the_recipe_needs_what_the_project_needs():
    python = f"python {PROJECT['requires-python']}"
    needed = RECIPE["requirements"]
    assert needed["run"] == [python, *map(as_conda, PROJECT["dependencies"])]
    report = PROJECT["optional-dependencies"]["report"]
    assert needed["run_constraints"] == list(map(as_conda, report))
    (setuptools,) = (h for h in needed["host"] if h.startswith("setuptools"))
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    assert build["requires"] == [setuptools.replace(" ", "")]
    assert python in needed["host"]


@pytest.mark.slow
def test_commands_of_the_recipe_work(cli):
    *_, script = RECIPE["tests"]
    for line in script["script"]:
        program, *arguments = line.split()
        assert program == "equibench"
        assert cli(*arguments)[0] == 0


def test_the_image_is_made_of_files_that_are_there():
    (base,) = re.findall(r"^FROM python:(\d+\.\d+)-slim$", DOCKERFILE, re.MULTILINE)
    assert tuple(map(int, base.split("."))) >= (3, 11)
    assert (ROOT / "constraints.txt").is_file()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {path.name for path in ROOT.iterdir()} - set(ignored)
    assert {"pyproject.toml", "constraints.txt", "harness", "models", "reports", "suites"} <= kept
    for extra in re.findall(r'"\.\[(\w+)\]"', DOCKERFILE):
        assert extra in PROJECT["optional-dependencies"]
    assert re.findall(r"ARG (\w+)=cpu", DOCKERFILE) == re.findall(r"--build-arg (\w+)=", DOCKERFILE)
    assert 'ENTRYPOINT ["equibench"]' in DOCKERFILE
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    (shown,) = re.findall(r"docker run --rm \S+ \S+ equibench (\w+)", DOCKERFILE)
    assert shown in commands


def docker_answers():
    docker = shutil.which("docker")
    return docker and not subprocess.run([docker, "info"], capture_output=True).returncode


@pytest.mark.skipif(not docker_answers(), reason="no Docker daemon answers")
def test_the_image_is_built_and_runs():
    build = ["docker", "build", "-q", "-f", "install/Dockerfile", "."]
    image = subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    command = ["docker", "run", "--rm", image.strip(), "prove", "unet-lpf-3,width=0.03125"]
    said = subprocess.run([*command, "--size", "32"], check=True, capture_output=True, text=True)
    assert "proved at 32×32" in said.stdout
