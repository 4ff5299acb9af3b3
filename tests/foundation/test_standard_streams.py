"""Standard output that is closed, full or read by nobody: one line, and no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

LIST = f'"{sys.executable}" -c "from equibench.cli import main; main()" ls metrics'


def shell(command):
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_is_one_line():
    status, err = shell(f"{LIST} > /dev/full")
    assert (status, err) == (
        1, "equibench: cannot write to standard output: No space left on device\n"
    )  # fmt: skip


def test_a_closed_standard_output_is_no_traceback():
    status, err = shell(f"{LIST} >&-")
    assert "Traceback" not in err
    assert err.count("\n") <= 1
    assert (status == 0) == (err == "")


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_told_nothing():
    _, err = shell(f"{LIST} | head -c 1 > /dev/null")
    assert err == ""


def test_output_that_is_read_is_all_there():
    done = subprocess.run(["sh", "-c", LIST], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("metrics\n")
    assert "ssim-columns" in done.stdout
