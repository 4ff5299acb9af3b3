"""Units of work on a Dask cluster: which worker holds which, and what becomes of the dead.

Retries are decided here. Where a worker dies, every unit it held is a suspect; suspects are then
measured one at a time, so that the one that kills its worker fails alone.
"""

import os
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import torch

from equibench.errors import EquibenchError, ModelError, UnavailableError
from equibench.measurement.run_config import RunConfig
from equibench.registry.provenance import version_of
from equibench.runs.engines.dask_client import connected
from equibench.runs.engines.shared_batch_size import Batches
from equibench.runs.units import Outcome, Say, Unit, Worker

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["on_cluster"]

_AHEAD = 2
"""Units that a worker holds at a time, so that it never waits for the next."""

_TURN = 2
"""Seconds after which workers are counted again."""

_LINES = "equibench"
"""The topic under which workers send lines for the user."""

PATIENCE = 60
"""Seconds without a worker that fits before a run gives up."""


def on_cluster(
    config: RunConfig, device: torch.device, units: Sequence[Unit], say: Say, batches: Batches
) -> Generator[Outcome, None, None]:
    """Measure units on ``config.scheduler``, or on a cluster of this machine's own.

    Raises:
        UnavailableError: Dask is missing, the scheduler cannot be reached, or no worker fits.
    """
    # a GPU that nobody asked for is one that a model may do without, there as here
    wanted = config.device if config.device == "auto" and device.type == "cuda" else device.type
    theirs = config.model_copy(update={"device": wanted, "scheduler": None})
    with connected(config, device, len(units)) as client:
        said: set[str] = set()

        def tell(event: tuple[float, Any]) -> None:
            line = str(event[1])
            if line not in said:
                said.add(line)
                say(line)

        client.subscribe_topic(_LINES, tell)
        try:
            yield from _Window(client, theirs, device.type, batches).measure(units)
        except (OSError, TimeoutError, RuntimeError, CancelledError) as error:
            if client.status == "running":
                raise
            raise EquibenchError(
                f"the Dask scheduler at {client.scheduler.address} is gone: start it again, then "
                "run the same command again: finished units are kept"
            ) from error


class _Window:
    """The units that are with workers: no more of them than keep all workers busy."""

    def __init__(self, client: "Client", config: RunConfig, device: str, batches: Batches) -> None:
        self.client, self.config, self.batches = client, config, batches
        self.workers = _Workers(client, device)
        self.out: dict[Future, tuple[Unit, list[str]]] = {}

    def measure(self, units: Sequence[Unit]) -> Iterator[Outcome]:
        waiting, suspects = deque(units), deque[Unit]()
        while waiting or self.out:
            room = _AHEAD * len(self.workers.fitting()) - len(self.out)
            for _ in range(min(room, len(waiting))):
                self._submit(waiting.popleft())
            for unit, outcome in self._finished():
                if outcome is None:
                    suspects.append(unit)
                elif not self.batches.fit(outcome):  # another worker was faster to decide
                    waiting.appendleft(unit)
                else:
                    yield outcome
        for unit in suspects:
            outcome = self._alone(unit)
            if outcome is not None and not self.batches.fit(outcome):
                outcome = self._alone(unit)
            yield outcome or Outcome(unit, _killer(unit))

    def _alone(self, unit: Unit) -> Outcome | None:
        self._submit(unit)
        ((_, outcome),) = self._finished()
        return outcome

    def _submit(self, unit: Unit) -> None:
        workers, unit = self.workers.fitting(), self.batches.assign(unit)
        future = self.client.submit(
            _measure, self.config, unit, key=f"equibench-{unit.name}-{os.urandom(4).hex()}",
            workers=workers, retries=0, pure=False,
        )  # fmt: skip
        self.out[future] = unit, workers

    def _finished(self) -> Iterator[tuple[Unit, Outcome | None]]:
        """Wait for the first, and give all that are there; None where a worker has died."""
        from distributed import wait

        done: set[Future] = set()
        while not done:
            try:
                done = wait(list(self.out), _TURN, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                self._bring_back()
        for future in done:
            unit, _ = self.out.pop(future)
            if future.status == "finished":
                yield unit, future.result()
            elif self.client.status != "running":
                raise CancelledError("the scheduler is gone")
            elif _died(future):
                yield unit, None
            else:
                error = future.exception()
                reason = f"{type(error).__name__}: {error}".split("\n")[0]
                yield unit, Outcome(unit, EquibenchError(f"a worker raised {reason}"))

    def _bring_back(self) -> None:
        """Submit again what waits for workers that are gone: their successors have new names."""
        here = set(self.workers.here())
        for future, (unit, workers) in list(self.out.items()):
            if not here.intersection(workers) and future.status == "pending":
                del self.out[future]
                future.cancel()
                self._submit(unit)


class _Workers:
    """The workers of a cluster that can measure what is asked for."""

    def __init__(self, client: "Client", device: str) -> None:
        self.client, self.device = client, device
        self.unfit: dict[str, str | None] = {}

    def here(self) -> list[str]:
        """The addresses of all workers."""
        return list(self.client.scheduler_info(n_workers=-1)["workers"])

    def fitting(self) -> list[str]:
        """Their addresses; waits for the first.

        Raises:
            UnavailableError: none comes.
        """
        until = monotonic() + PATIENCE
        while True:
            here = self.here()
            new = [address for address in here if address not in self.unfit]
            if new:
                said = self.client.run(
                    _unfit, self.device, version_of("equibench"), workers=new, on_error="return"
                )
                # one that dies before it answers is asked again, or gone
                self.unfit |= {a: why for a, why in said.items() if not isinstance(why, Exception)}
            fit = [address for address in here if self.unfit.get(address, "gone") is None]
            if fit:
                return fit
            if monotonic() > until:
                raise UnavailableError(self._explain(here))
            sleep(0.2)

    def _explain(self, here: Sequence[str]) -> str:
        if not here:
            return (
                f"the Dask cluster {self.client.scheduler.address} has had no worker for "
                f"{PATIENCE} s: start some, then run the same command again"
            )
        reasons = Counter(self.unfit[address] for address in here)
        found = "; ".join(f"{number} × {reason}" for reason, number in reasons.items())
        return f"the Dask cluster {self.client.scheduler.address} has no worker that fits: {found}"


def _unfit(device: str, version: str | None) -> str | None:
    """Why this worker cannot measure; None if it can."""
    if version_of("equibench") != version:
        return f"equibench {version_of('equibench')}, not {version}: install the same there"
    if device == "cuda" and not torch.cuda.is_available():
        return "no CUDA device: take --device cpu, or start workers where there are GPUs"
    return None


def _killer(unit: Unit) -> ModelError:
    first, last = unit.cases[0], unit.cases[-1]
    cases = f"case {first}" if first == last else f"cases {first} to {last}"
    return ModelError(
        f"{unit.job.model.label} on {unit.job.label}, {cases}: the worker died twice, the second "
        "time with these cases alone (out of memory, or a crash in compiled code): try --batch 1, "
        "or --engine local to see its last words"
    )


def _died(future: "Future") -> bool:
    from distributed.scheduler import KilledWorker

    return future.status in ("cancelled", "lost") or isinstance(future.exception(), KilledWorker)


_here: tuple[str, Worker] | None = None
"""The worker of this process, and the configuration that it is for."""


def _measure(config: RunConfig, unit: Unit) -> Outcome:
    """Run in a worker's process."""
    global _here
    key = config.model_dump_json()
    if _here is None or _here[0] != key:
        if _here is not None:
            _here[1].__exit__()
        _here = key, Worker(config, _say)
    return _here[1](unit)


def _say(line: str) -> None:
    from distributed import get_worker

    get_worker().log_event(_LINES, line)
