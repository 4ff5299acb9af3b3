"""Runs on a cluster that end before their time: at once, in one line, and ready to go on."""

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytest.importorskip("distributed")

PATIENCE = 1800
"""Seconds until something that never comes fails a test: a machine may have other things to do."""

ENDLESS = f"""
import pathlib
import time

import torch


class Endless(torch.nn.Module):
    def forward(self, x):
        if pathlib.Path("hold").exists():
            pathlib.Path("going").touch()
            time.sleep({PATIENCE})
        return x
"""

COMMAND = [
    "run", "-m", "it's/net.py:Endless", "-s", "noise,n=4,size=16", "--shifts", "random:n=2,max=4",
    "--out", "it's/run",
]  # fmt: skip


@pytest.fixture
def start(tmp_path):
    """Start a process in the folder, in a group of its own; whatever is left of it is killed."""
    (tmp_path / "it's").mkdir()
    (tmp_path / "it's/net.py").write_text(ENDLESS)
    (tmp_path / "hold").touch()
    # whoever runs the tests in the background may ignore Ctrl-C, and processes inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = []

    def run(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, arguments)], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    signal.signal(signal.SIGINT, before)
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(file, process):
    until = time.monotonic() + PATIENCE
    while not file.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.long
def test_ctrl_c_ends_workers_in_the_middle_of_a_pass_and_gives_the_command_that_goes_on(
    start, tmp_path, cli
):
    running = start("equibench", *COMMAND, "--workers", "1")
    wait_for(tmp_path / "going", running)
    workers = psutil.Process(running.pid).children(recursive=True)
    assert workers
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=PATIENCE / 2)
    remedy = shlex.join(["equibench", *COMMAND, "--workers", "1"])
    assert (running.returncode, out) == (130, "")
    assert err == f"\nequibench: interrupted; to go on: {remedy}\n"
    assert not psutil.wait_procs(workers, PATIENCE / 2)[1]
    assert json.loads((tmp_path / "it's/run/run.json").read_text())["state"] == "interrupted"
    (tmp_path / "hold").unlink()
    status, _, err = cli(*shlex.split(remedy)[1:-2])  # without workers
    assert status == 0, err


@pytest.mark.long
def test_the_death_of_the_scheduler_is_one_line(start, tmp_path):
    file = tmp_path / "scheduler.json"
    scheduler = start(
        "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1",
        "--scheduler-file", file,
    )  # fmt: skip
    wait_for(file, scheduler)
    address = json.loads(file.read_text())["address"]
    start("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard")
    running = start("equibench", *COMMAND, "--scheduler", address)
    wait_for(tmp_path / "going", running)
    scheduler.kill()
    out, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, out) == (1, "")
    assert err == (
        f"equibench: the Dask scheduler at {address} is gone: start it again, then run the same "
        "command again: finished units are kept\n"
    )


@pytest.mark.parametrize(("asked", "heard"), [(logging.WARNING, False), (logging.INFO, True)])
def test_the_engine_is_heard_only_where_somebody_asked(asked, heard, monkeypatch, caplog):
    from equibench.runs.engines.dask_client import _logging, _quiet

    caplog.set_level(asked, "equibench")
    caplog.set_level(logging.WARNING, "distributed.client")
    with _quiet():
        logging.getLogger("distributed.client").error("a traceback")
    assert ("a traceback" in caplog.text) == heard
    assert logging.getLogger("distributed.client").level == logging.WARNING
    assert _logging() == {"DASK_LOGGING__DISTRIBUTED": "info" if heard else "critical"}
