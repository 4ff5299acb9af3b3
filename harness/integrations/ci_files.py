"""Workflows that guard a model in CI, for GitHub Actions and GitLab."""

import shlex
from pathlib import Path
from typing import Literal

__all__ = ["FILES", "Provider", "workflow"]

Provider = Literal["github", "gitlab"]

FILES: dict[Provider, Path] = {
    "github": Path(".github/workflows/equivariance.yml"),
    "gitlab": Path(".gitlab/equivariance.yml"),
}
"""Where each looks for a workflow, or where an ``include`` of its own names it."""

_GITHUB = """\
name: equivariance
on: [push, pull_request]

jobs:
  equivariance:
    runs-on: ubuntu-latest
    env:
      EQUIBENCH_CACHE: ${{ github.workspace }}/.equibench
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
          cache: pip
          cache-dependency-path: .github/workflows/equivariance.yml
      - uses: actions/cache@v4
        with:
          path: .equibench
          key: equibench-${{ runner.os }}-${{ hashFiles('.github/workflows/equivariance.yml') }}
      - run: pip install equibench
      - run: >-
          @RUN@
      - run: >-
          @CHECK@ --format github
          --write equivariance.md --write equivariance.xml
      - run: cat equivariance.md >> "$GITHUB_STEP_SUMMARY"
        if: always() && hashFiles('equivariance.md') != ''
      - uses: actions/upload-artifact@v4
        if: failure()
        with:
          name: equivariance
          path: |
            @OUT@
            equivariance.xml
"""

_GITLAB = """\
# in .gitlab-ci.yml:  include: .gitlab/equivariance.yml
equivariance:
  image: python:3.12
  variables:
    PIP_CACHE_DIR: $CI_PROJECT_DIR/.cache/pip
    EQUIBENCH_CACHE: $CI_PROJECT_DIR/.cache/equibench
  cache:
    key: equibench
    paths: [.cache]
  script:
    - pip install equibench
    - >-
      @RUN@
    - >-
      @CHECK@
      --write equivariance.md --write equivariance.xml
  artifacts:
    when: always
    paths: [equivariance.md, @OUT@]
    reports:
      junit: equivariance.xml
"""

_OUT = "runs/equivariance"


def workflow(provider: Provider, run: list[str], baseline: str) -> str:
    """The content of a workflow that measures, and holds the run against a baseline.

    Args:
        run: options of ``equibench run``, but for ``--out``.
        baseline: its file.
    """
    commands = {
        "@RUN@": shlex.join(["equibench", "run", *run, "--out", _OUT]),
        "@CHECK@": shlex.join(["equibench", "check", _OUT, "--against", baseline]),
        "@OUT@": _OUT,
    }
    text = _GITHUB if provider == "github" else _GITLAB
    for name, command in commands.items():
        text = text.replace(name, command)
    return text
