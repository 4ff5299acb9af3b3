"""A run that is killed at any moment: the same command loses nothing and changes nothing."""

import hashlib
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
from processes import context

from equibench.measurement.run_config import RunConfig
from equibench.runs.run_folder import RunFolder
from equibench.runs.runner import run

KILLS = 50
NETWORK = """
import os, torch

class Counted(torch.nn.Conv2d):
    def __init__(self, log):
        super().__init__(1, 1, 3, padding=1)
        self.log = log

    def forward(self, x):
        with open(self.log, "ab") as log:
            log.write(b".")
        return super().forward(x)
"""


def digest(folder):
    hashes = pd.util.hash_pandas_object(folder.rows(), index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


class Driver:
    """The same run again and again, each time in a process of its own that starts in no time."""

    def __init__(self, place):
        self.out, self.log = place / "run", place / "forwards"
        self.log.write_bytes(b"")
        (place / "network.py").write_text(NETWORK)
        network = f"{place}/network.py:Counted,log={self.log}"
        self.config = RunConfig(
            models=(f"{network},label=one", f"{network},label=two"),
            suites=("noise,n=12,size=16",),
            shifts="random:n=30,max=8",
            batch=8,
        )
        self.context = context()

    def start(self):
        process = self.context.Process(
            target=run, args=(self.config, self.out), kwargs={"progress": False}
        )
        process.start()
        return process

    def finish(self):
        process = self.start()
        process.join()
        assert process.exitcode == 0
        return RunFolder(self.out)

    def follow(self, process, forwards):
        """Wait until so many passes were begun, or the run has ended."""
        while self.forwards < forwards and process.is_alive():
            process.join(0.001)

    @property
    def forwards(self):
        return self.log.stat().st_size

    @property
    def measured(self):
        """The units that are in the folder, and can be read."""
        if not (self.out / "run.json").exists():
            return set()
        folder = RunFolder(self.out)
        if folder.has_rows:
            folder.rows()
        return set(folder.units) - set(folder.lacking)


@pytest.mark.long
def test_fifty_kills_lose_at_most_the_unit_in_flight_and_change_no_digest(tmp_path):
    driver = Driver(tmp_path)
    driver.finish()  # the first start pays for the server
    shutil.rmtree(driver.out)
    before = driver.forwards
    undisturbed = digest(driver.finish())
    whole = driver.forwards - before
    # each start tries its models first; a second unit that is lost is more than what one tries
    per_unit, tries = divmod(whole, len(driver.measured))
    assert tries / len(driver.config.models) < per_unit
    shutil.rmtree(driver.out)

    random, kills, completed, had = np.random.default_rng(0), 0, 0, set()
    while kills < KILLS:
        before = driver.forwards
        process = driver.start()
        driver.follow(process, before + random.integers(whole + 1))
        process.kill()
        process.join()
        has = driver.measured
        assert had <= has
        assert driver.forwards - before <= tries + per_unit * (len(has - had) + 1)
        had = has
        if process.exitcode == 0:
            assert digest(RunFolder(driver.out)) == undisturbed
            shutil.rmtree(driver.out)
            completed, had = completed + 1, set()
        else:
            assert process.exitcode == -signal.SIGKILL
            kills += 1
    assert digest(driver.finish()) == undisturbed
    assert completed
