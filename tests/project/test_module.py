"""The package is a program as well."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_python_m_equibench_is_the_command_line():
    command = [sys.executable, "-m", "equibench", "ls", "metrics"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("metrics\n")
