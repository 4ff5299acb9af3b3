"""Forward passes side by side: on a CPU, every core takes batches of its own.

PyTorch spreads each operation over all cores and waits for the slowest one, dozens of times in a
network. A lane is a copy of the model, with the same parameters, in a thread that computes on one
core: lanes wait for nobody, and outputs are compared while they are in the core's cache.

A copy must never differ from the network. It is taken only where nothing that can change is reached
from both, and whoever uses lanes lets them agree on a first batch and looks whether a batch has
changed anything that a network keeps.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from copy import deepcopy
from functools import cache
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from equibench.inference.placement import Placed, told
from equibench.state.independence import common
from equibench.state.tensor_memory import same_bits

__all__ = ["ONE_LANE", "Lanes", "agree", "one_core", "side_by_side"]

T = TypeVar("T")
R = TypeVar("R")


class Lanes(Generic[T]):
    """Those who work side by side; one alone works in the thread that asks, on all cores."""

    def __init__(self, each: Sequence[T]) -> None:
        self.each = each
        self._free: SimpleQueue[T] = SimpleQueue()
        for one in each:
            self._free.put(one)

    def in_order(self, tasks: Iterable[Callable[[T], R]]) -> Iterator[R]:
        """Results of some work with tensors, in the order of the tasks, whoever is done first.

        A task may wait for those before it. Nothing is under way any more when this ends.
        """
        if len(self.each) == 1:
            yield from (task(self.each[0]) for task in tasks)
            return
        pool = _threads(len(self.each))
        pending: deque[Future[R]] = deque()
        try:
            for task in tasks:
                pending.append(pool.submit(self._do, task))
                if len(pending) > 2 * len(self.each):
                    yield pending[0].result()
                    pending.popleft()
            while pending:
                yield pending[0].result()
                pending.popleft()
        finally:
            for future in pending:
                future.cancel()
            wait(pending)

    def _do(self, task: Callable[[T], R]) -> R:
        one = self._free.get()
        try:
            with torch.no_grad():
                return task(one)
        finally:
            self._free.put(one)


def side_by_side(forward: Placed) -> list[Placed]:
    """A model, and copies for the other cores, with its parameters and a state of their own.

    There are none on a GPU, nor of models whose generators are seeded, of callables that are no
    modules, of modules with forward hooks or compiled ones, of those with an attribute
    ``thread_safe`` that is false, and of those whose copies are not shown to be independent of it:
    then a note says why.
    """
    model, count = forward.model, torch.get_num_threads() - 1
    if forward.device.type != "cpu" or forward.seed is not None or not count:
        return [forward]
    if not isinstance(model, nn.Module):
        return [forward]
    try:
        if any(map(_alone, model.modules())):
            return [forward]
        parameters = {id(p): p for p in model.parameters()}
        copies = [deepcopy(model, dict(parameters)) for _ in range(count)]
        shared = common(model, copies[0], parameters.keys())
    except Exception as error:  # whatever parts raise that know of no copies
        forward.notes.append(f"{ONE_LANE}: it cannot be copied ({type(error).__name__})")
        return [forward]
    if shared:
        forward.notes.append(f"{ONE_LANE}: copies would share {shared}")
        return [forward]
    return [forward, *(forward.of(copy) for copy in copies)]


ONE_LANE = "images pass one batch at a time"


def agree(lanes: Sequence[Placed], images: Tensor) -> bool:
    """Whether a model and its copies give the same bits for images (B, C, H, W).

    Raises:
        Exception: whatever the model raises.
    """
    pool = _threads(len(lanes))
    outputs = [pool.submit(lane, images) for lane in lanes]
    wait(outputs)
    first, *others = (future.result() for future in outputs)
    return all(same_bits(first, other) for other in others)


def _alone(module: nn.Module) -> bool:
    compiled = module._compiled_call_impl is not None or hasattr(module, "_orig_mod")
    hooked = bool(module._forward_hooks or module._forward_pre_hooks)
    return compiled or hooked or not told(module, "thread_safe", True)


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "equibench-lane", one_core)


_STARTING = Lock()


def one_core() -> None:
    """Let the thread that calls this compute on one core.

    Else it would have helpers of its own, and where there are more threads than cores, OpenMP
    puts all of them to sleep between two operations.
    """
    with _STARTING:
        everyone = torch.get_num_threads()
        torch.set_num_threads(1)
        # it also becomes what later threads begin with, which another thread takes back
        other = Thread(target=torch.set_num_threads, args=(everyone,))
        other.start()
        other.join()
