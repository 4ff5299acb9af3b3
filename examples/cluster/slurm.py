"""A Dask cluster of SLURM jobs: python examples/cluster/slurm.py JOBS [run options]."""

import subprocess
import sys

from dask_jobqueue import SLURMCluster
from distributed import Client

JOBS, OPTIONS = int(sys.argv[1]), sys.argv[2:]

# one process of one thread in each job, which is what equibench expects of a worker
with SLURMCluster(
    cores=1,
    processes=1,
    memory="16GB",
    walltime="04:00:00",
    job_cpu=4,
    job_extra_directives=["--gres=gpu:1"],
    worker_extra_args=["--no-dashboard"],
) as cluster:
    cluster.scale(jobs=JOBS)
    with Client(cluster) as client:
        client.wait_for_workers(1)  # the queue may be long
    command = ["equibench", "run", *OPTIONS, "--scheduler", cluster.scheduler_address]
    sys.exit(subprocess.run(command).returncode)
