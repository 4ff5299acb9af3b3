"""Scale-out: whoever does the work, the rows are the same, and nothing is lost with a worker."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

import equibench as eb
from equibench.errors import UnavailableError, UsageError
from equibench.measurement.run_config import validated
from equibench.runs.run_folder import RunFolder
from equibench.runs.runner import run

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

SUITE = "noise,n=8,size=32"
DASK = {"engine": "dask", "workers": 2}

PATIENCE = 1800
"""Seconds until something that never comes fails a test: a machine may have other things to do."""

KILLER = '''
import os

import torch

class Network(torch.nn.Module):
    """Dies on the image that a file names."""

    def __init__(self, image):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
        self.image = torch.load(image)

    def forward(self, x):
        if any(torch.equal(each, self.image) for each in x):
            os.kill(os.getpid(), 9)
        return self.layer(x)
'''


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr("equibench.runs.engines.dask_cluster.PATIENCE", PATIENCE)


def measured(out, models, **fields):
    fields = {"models": models, "suites": [SUITE], "shifts": "random:n=30,max=8"} | fields
    return run(validated(fields, "test"), out, progress=False)


@pytest.mark.long
def test_two_processes_give_the_rows_of_one_to_the_last_bit(tmp_path):
    models = ["unet-aps,width=0.05", "unet-baseline,width=0.05"]
    alone = measured(tmp_path / "alone", models)
    together = measured(tmp_path / "together", models, **DASK)
    pd.testing.assert_frame_equal(alone.rows(), together.rows(), check_exact=True)
    for name in ("summary.csv", "failures.json"):
        assert (alone.path / name).read_bytes() == (together.path / name).read_bytes()
    assert alone.manifest["models"] == together.manifest["models"]


@pytest.mark.long
def test_a_unit_that_kills_its_worker_fails_alone_and_the_engine_keeps_quiet(
    tmp_path, monkeypatch, capfd
):
    import torch

    from equibench.suites.noise import Noise

    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(KILLER)
    case = Noise(n=8, size=32).load("00003").input[0]
    torch.save(case, "image.pt")
    killing = measured("killing", ["net.py:Network,image=image.pt,label=deadly"], **DASK)
    assert capfd.readouterr() == ("", "")
    (failure,) = killing.failures
    assert failure == {
        "model": "deadly",
        "suite": "noise",
        "cases": ["00002", "00003"],
        "error": "ModelError",
        "message": "deadly on noise, cases 00002 to 00003: the worker died twice, the second time "
        "with these cases alone (out of memory, or a crash in compiled code): try --batch 1, or "
        "--engine local to see its last words",
    }
    assert set(killing.rows()["case"]) == {f"{n:05d}" for n in range(8)} - {"00002", "00003"}


def test_a_cluster_without_a_worker_that_fits_says_why(tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("equibench.runs.engines.dask_cluster.PATIENCE", 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with LocalCluster(1, processes=False, dashboard_address=":0") as cluster:
        scheduler = cluster.scheduler_address
        with pytest.raises(UnavailableError) as stopped:
            measured(
                tmp_path / "a", ["unet-aps"], engine="dask", scheduler=scheduler, device="cuda"
            )
        assert str(stopped.value) == (
            f"the Dask cluster {scheduler} has no worker that fits: 1 × no CUDA device: "
            "take --device cpu, or start workers where there are GPUs"
        )
        cluster.scale(0)
        with pytest.raises(UnavailableError) as stopped:
            measured(tmp_path / "b", ["unet-aps"], engine="dask", scheduler=scheduler)
        assert str(stopped.value) == (
            f"the Dask cluster {scheduler} has had no worker for 1 s: start some, then run the "
            "same command again"
        )


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("equibench.runs.engines.dask_client.ANSWER", 1)
    with pytest.raises(
        UnavailableError, match=r"^no Dask scheduler answers at tcp://127.0.0.1:9: "
    ):
        measured(tmp_path / "a", ["unet-aps"], engine="dask", scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize("field", [{"workers": 2}, {"scheduler": "tcp://127.0.0.1:9"}])
def test_workers_and_a_scheduler_imply_dask_and_belong_to_it(field):
    asked = {"models": ["m"], "suites": ["s"], **field}
    assert validated(asked, "bench.toml").engine == "dask"
    assert eb.RunConfig(**asked).engine == "dask"
    ((name, value),) = field.items()
    with pytest.raises(UsageError) as refused:
        validated({**asked, "engine": "local"}, "bench.toml")
    assert str(refused.value) == f'bench.toml: {name} = {value!r}: {name} is for engine = "dask"'


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_a_shard_is_one_of_several(tmp_path, shard):
    with pytest.raises(UsageError, match="not i/n with i from 1 to n"):
        measured(tmp_path / "a", ["unet-aps"], shard=shard)


def test_gpus_are_pinned_by_the_environment(monkeypatch):
    import torch

    from equibench.runs.engines.dask_client import workers_here

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    pinned = [w["options"]["env"]["CUDA_VISIBLE_DEVICES"] for w in workers_here("cuda", None, 9)]
    assert pinned == ["0", "1", "2", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    pinned = [w["options"]["env"]["CUDA_VISIBLE_DEVICES"] for w in workers_here("cuda", None, 9)]
    assert pinned == ["5", "GPU-7"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    pinned = [w["options"]["env"]["CUDA_VISIBLE_DEVICES"] for w in workers_here("cuda", 2, 9)]
    assert pinned == ["5", "5"]
    assert len(workers_here("cpu", None, 1000)) == os.cpu_count()
    assert len(workers_here("cpu", 8, 3)) == 3


@pytest.mark.parametrize(
    ("visible", "cards", "workers", "pinned"),
    [
        (None, 2, 2, ["0", "1"]),
        ("5, GPU-7", 2, 2, ["5", "GPU-7"]),
        ("3,4,9", 2, 3, ["3", "3", "4"]),
    ],
)
def test_each_worker_process_sees_a_card_of_its_own_as_long_as_there_are_enough(
    visible, cards, workers, pinned, monkeypatch
):
    """Processes of a real cluster, on a machine that seems to have cards."""
    import torch

    from equibench.runs.engines.dask_client import connected

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    config = eb.RunConfig(models=("m",), suites=("s",), workers=workers, device="cuda")
    with connected(config, torch.device("cuda", 0), 9) as client:
        client.wait_for_workers(workers, timeout=120)
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
    assert sorted(seen.values()) == pinned


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A cluster of one machine: ``sbatch`` runs its script, in a job array once for each task."""
    folder = tmp_path / "bin"
    folder.mkdir()
    stubs = {
        "sbatch": """
            script=$(mktemp) && cp "$1" $script && shift
            tasks=$(sed -n 's/^#SBATCH --array=1-//p' $script)
            export SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_COUNT=${tasks:-1}
            for SLURM_ARRAY_TASK_ID in $(seq ${tasks:-1}); do
                bash $script "$@" > "$JOBS.log" 2>&1 &
                echo $! >> "$JOBS"
            done
            echo "Submitted batch job 1"
            """,
        "scancel": 'kill $(cat "$JOBS") 2>/dev/null; true',
    }
    for name, lines in stubs.items():
        file = folder / name
        file.write_text("#!/bin/bash\n" + textwrap.dedent(lines))
        file.chmod(0o755)
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{folder}:{scripts}:{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(tmp_path / "jobs"))
    monkeypatch.chdir(tmp_path)


EXAMPLES = Path(__file__).parents[2] / "examples/cluster"
OPTIONS = ("-m", "unet-aps,width=0.05", "-s", SUITE, "--shifts", "random:n=30,max=8")


@pytest.mark.long
@pytest.mark.usefixtures("slurm")
def test_an_array_of_jobs_shares_one_folder(tmp_path):
    subprocess.run(["sbatch", EXAMPLES / "shards.sh", *OPTIONS, "--out", "run"], check=True)
    until = time.monotonic() + PATIENCE
    while _state("run") != "finished":
        assert time.monotonic() < until, Path(f"{os.environ['JOBS']}.log").read_text()
        time.sleep(0.1)
    alone = measured(tmp_path / "alone", ["unet-aps,width=0.05"])
    pd.testing.assert_frame_equal(RunFolder("run").rows(), alone.rows(), check_exact=True)


@pytest.mark.long
@pytest.mark.usefixtures("slurm")
def test_workers_may_be_slurm_jobs(tmp_path):
    command = [sys.executable, EXAMPLES / "slurm.py", "2", *OPTIONS, "--out", "run"]
    subprocess.run(command, check=True, timeout=PATIENCE)
    alone = measured(tmp_path / "alone", ["unet-aps,width=0.05"])
    pd.testing.assert_frame_equal(RunFolder("run").rows(), alone.rows(), check_exact=True)


def _state(out):
    return RunFolder(out).manifest["state"] if Path(out, "run.json").exists() else None


@pytest.mark.long
def test_killed_workers_lose_nothing(tmp_path):
    models = ["unet-aps,width=0.05", "unet-baseline,width=0.05"]
    alone = measured(tmp_path / "alone", models)
    random = np.random.default_rng(0)
    stop = threading.Event()
    killed: list[psutil.Process] = []

    def kill():
        """One worker after every second unit that is finished."""
        while not stop.wait(0.05) and len(killed) < 3:
            finished = len(list((tmp_path / "together").glob("rows/*.parquet")))
            if finished <= 2 * len(killed):
                continue
            workers = psutil.Process().children(recursive=True)
            with suppress(psutil.Error):  # some die on their own meanwhile
                # where setproctitle is installed, workers give themselves a name
                titles = {w: " ".join(w.cmdline()) for w in workers}
                running = [w for w, t in titles.items() if "spawn_main" in t or "dask worker" in t]
                for chosen in random.permutation(running)[:1]:
                    chosen.kill()
                    killed.append(chosen)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        together = measured(tmp_path / "together", models, **DASK)
    finally:
        stop.set()
        killer.join()
    assert killed
    # a unit may have met two of these kills, the second one alone: the same command measures it
    together = measured(tmp_path / "together", models, **DASK)
    assert together.failures == []
    pd.testing.assert_frame_equal(alone.rows(), together.rows(), check_exact=True)
