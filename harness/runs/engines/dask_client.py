"""The connection to a Dask cluster, and clusters of this machine's own, which end with it."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

from equibench.errors import EquibenchError, UnavailableError
from equibench.inference.allocator import ENVIRONMENT
from equibench.measurement.run_config import RunConfig

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["connected", "workers_here"]

_ENGINE = ("distributed", "tornado", "asyncio")
"""The loggers of what Dask is made of."""

ANSWER = 10
"""Seconds that a scheduler or a worker has to answer."""


@contextmanager
def connected(config: RunConfig, device: torch.device, units: int) -> "Iterator[Client]":
    """A client of ``config.scheduler``, or of a cluster of this machine's own.

    Raises:
        UnavailableError: Dask is missing, or the scheduler does not answer.
    """
    try:
        import dask

        with dask.config.set({"logging.distributed": _level()}):  # it looks once, on import
            from distributed import Client
    except ImportError:
        raise UnavailableError("--engine dask needs Dask: pip install 'equibench[dask]'") from None
    settings = {
        "distributed.worker.daemon": False,  # a model may start processes of its own
        "distributed.scheduler.allowed-failures": 0,  # we retry ourselves
        "distributed.scheduler.worker-saturation": "inf",  # the window is ours
        "distributed.nanny.pre-spawn-environ": ENVIRONMENT | _logging(),
        "distributed.comm.timeouts.connect": f"{ANSWER}s",  # a dead worker is not waited for
    }
    with dask.config.set(settings), _quiet(), ExitStack() as stack:
        address: Any = config.scheduler
        if address is None:
            address = stack.enter_context(_own_cluster(config, device, units))
        try:
            client = stack.enter_context(Client(address, timeout=ANSWER))
        except (OSError, TimeoutError, ValueError) as error:
            raise UnavailableError(
                f"no Dask scheduler answers at {config.scheduler}: "
                f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
            ) from None
        yield client


@contextmanager
def _own_cluster(config: RunConfig, device: torch.device, units: int) -> Iterator[Any]:
    from distributed import Scheduler, SpecCluster

    workers = workers_here(device.type, config.workers, units)
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(
                SpecCluster(
                    scheduler={
                        "cls": Scheduler,
                        "options": {"dashboard": False, "dashboard_address": ":0", "port": 0},
                    },
                    workers=dict(enumerate(workers)),
                )
            )
        except RuntimeError as error:
            raise EquibenchError(
                f"{len(workers)} worker processes cannot be started ({error}): try fewer --workers"
            ) from error
        try:
            yield cluster
        except BaseException:
            _stop_at_once(cluster)
            raise


def _stop_at_once(cluster: Any) -> None:
    """End workers whose units nobody wants any more, in the middle of a pass."""
    for nanny in list(cluster.workers.values()):
        nanny.close_gracefully("equibench-stopped")  # it starts no successor
        with suppress(OSError, TypeError):  # it is gone, or has not started
            os.kill(nanny.pid, signal.SIGKILL)


def _level() -> str:
    """How loud Dask is: as loud as ``equibench``, where somebody has asked it to speak."""
    return "info" if logging.getLogger("equibench").isEnabledFor(logging.INFO) else "critical"


def _logging() -> dict[str, str]:
    """The environment of workers that are as loud."""
    return {"DASK_LOGGING__DISTRIBUTED": _level()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the engine's logs and tracebacks of this process away from whoever did not ask."""
    known = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _ENGINE]
    loggers = [logging.getLogger(name) for name in {*known, *_ENGINE}]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(_level().upper())
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def workers_here(device: str, number: int | None, units: int) -> list[dict[str, Any]]:
    """Dask's specifications of processes on this machine.

    There is one for each GPU, pinned by its environment, or one for each core of the CPU; no more
    than there are units.
    """
    from distributed import Nanny

    gpus = _gpus() if device == "cuda" else []
    number = min(number or len(gpus) or os.cpu_count() or 1, max(1, units))
    threads = os.environ.get("OMP_NUM_THREADS", max(1, (os.cpu_count() or 1) // number))
    environment = {"OMP_NUM_THREADS": str(threads)}
    pinned = [{"CUDA_VISIBLE_DEVICES": gpus[n % len(gpus)]} if gpus else {} for n in range(number)]
    common = {"nthreads": 1, "memory_limit": 0}
    return [{"cls": Nanny, "options": {**common, "env": {**environment, **pin}}} for pin in pinned]


def _gpus() -> list[str]:
    """The names of the GPUs that this process sees."""
    count = torch.cuda.device_count()
    chosen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    # what is named after the first that is not there is not seen
    return chosen[:count] if any(chosen) else [str(number) for number in range(count)]
