"""A model in a process of its own, for what cannot be kept apart in one.

The process builds the model from its spec as the harness would, and answers one request after
another. Requests and answers are a line of JSON and the bytes of a tensor: nothing is unpickled.
"""

import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import IO, Any, NoReturn

import torch
from safetensors.torch import load, save
from torch import Tensor

from equibench.errors import ModelError, UnavailableError, UsageError, words
from equibench.inference.model_outputs import Frame, frame_of, mismatch, shape
from equibench.inference.placement import placed
from equibench.inference.precision import current_precision, numerics
from equibench.inference.random_generators import generators, seed_of_generators
from equibench.inference.remedies import Failure, remedy
from equibench.loading.models import LoadedModel, build_model
from equibench.registry.specs import Spec

__all__ = ["Isolated", "build_isolated"]

_START = "import sys; from equibench.loading.separate_process import serve; serve()"


def build_isolated(spec: Spec, seed: int = 0, *, trust_pickle: bool = False) -> LoadedModel:
    """As ``build_model``, with the model in a process of its own.

    Raises:
        UsageError, ModelError: as ``build_model``; or the process ends while the model is built.
    """
    model = Isolated(spec, seed, trust_pickle)
    found = model.described
    model.output_scale, model.labels = found["output_scale"], found["labels"]
    if found["total_stride"] is not None:
        model.total_stride = found["total_stride"]
    return LoadedModel(
        spec.label, model, found["weights"], found["provenance"], tuple(found["notes"])
    )


class Isolated(Frame):
    """A model in another process: images (B, C, H, W) to what the model gives.

    The process is started with the first request, and again with the next one if it has died.
    """

    outlives_calls = True
    """A measurement does not put it back: the process goes on, or another has begun."""
    total_stride: int

    def __init__(self, spec: Spec, seed: int, trust_pickle: bool) -> None:
        self.spec, self.seed, self.trust_pickle = spec, seed, trust_pickle
        self.process: subprocess.Popen[bytes] | None = None
        self.described: Mapping[str, Any] = {}
        self._start()

    def __call__(self, images: Tensor) -> Tensor:
        """Pass images through the model, on their device and in the precision that is set.

        Raises:
            ModelError: the process ends.
            Exception: what the model raises, under its name.
        """
        if self.process is None:
            self._start()
        request = {
            "device": str(images.device),
            "precision": current_precision(images),
            "generators": seed_of_generators(),
        }
        answer, output = self._ask(request, images, f" on an input {shape(images)}")
        assert output is not None
        output = output.to(images.device)
        self.padded, self.resized = answer["padded"], answer["resized"]
        self.added = self.unmoved = None
        if answer["added"] is None:
            return output
        self.added, self.unmoved = output.new_tensor(answer["added"]), output
        return output + self.added

    def _start(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        weakref.finalize(self, _end, self.process)
        request = {
            "spec": asdict(self.spec),
            "seed": self.seed,
            "trust_pickle": self.trust_pickle,
            "threads": torch.get_num_threads(),
        }
        self.described, _ = self._ask(request, None, " while it was built")

    def _ask(
        self, request: Mapping[str, Any], images: Tensor | None, when: str
    ) -> tuple[dict[str, Any], Tensor | None]:
        process = self.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _send(process.stdin, request, images)
            answer, output = _receive(process.stdout)
        except (EOFError, OSError):
            self.process = None
            raise ModelError(
                f"{self.spec.label}: its process ended with {_status(process.wait())}{when}; what "
                "it wrote is above"
            ) from None
        if "error" in answer:
            _raise(answer["error"], answer["message"])
        return answer, output


def serve() -> None:
    """Answer the requests that arrive at stdin, until it closes; prints go to stderr."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is interrupted, and closes stdin
    start, _ = _receive(requests)
    torch.set_num_threads(start["threads"])
    spec = Spec(**start["spec"])
    loaded = _answer(answers, lambda: _build(spec, start))
    while loaded is not None:
        try:
            request, images = _receive(requests)
        except EOFError:
            return
        _answer(answers, partial(_forward, loaded, request, images))


def _build(spec: Spec, start: Mapping[str, Any]) -> tuple[LoadedModel, dict[str, Any], None]:
    loaded = build_model(spec, start["seed"], trust_pickle=start["trust_pickle"])
    model = loaded.model
    stride = getattr(model, "total_stride", None)
    found = {
        "weights": loaded.weights,
        "provenance": loaded.provenance,
        "notes": loaded.notes,
        "output_scale": frame_of(model).output_scale,
        "labels": frame_of(model).labels,
        "total_stride": stride if isinstance(stride, int) else None,
    }
    return loaded, found, None


def _forward(
    loaded: LoadedModel, request: Mapping[str, Any], images: Tensor
) -> tuple[None, dict[str, Any], Tensor]:
    device, precision = torch.device(request["device"]), request["precision"]
    seed = request["generators"]
    with placed(loaded.model, device, precision) as forward, numerics(precision):
        images = images.to(device)
        with nullcontext() if seed is None else generators(device, seed):
            output = forward(images)
        frame = frame_of(loaded.model)
        if wrong := mismatch(output, images, frame.output_scale):
            advice = remedy(forward, images, Failure(output=output))
            raise ModelError(
                f"{loaded.label} returned {wrong.given} (input {shape(images)}), not "
                f"{wrong.wanted}: {advice}"
            )
        # what stands in the frame is put back with all else
        added = None if frame.added is None else frame.added.tolist()
        own = output if frame.unmoved is None else frame.unmoved
        return None, {"padded": frame.padded, "resized": frame.resized, "added": added}, own


def _answer(
    stream: IO[bytes], work: Callable[[], tuple[Any, dict[str, Any], Tensor | None]]
) -> Any:
    """Send what work gives, or its error; returns what the work keeps, None after an error."""
    try:
        kept, answer, output = work()
    except BaseException as error:  # Ctrl-C is for who asks
        _send(stream, {"error": type(error).__name__, "message": words(error)}, None)
        return None
    _send(stream, answer, output)
    return kept


def _send(stream: IO[bytes], message: Mapping[str, Any], tensor: Tensor | None) -> None:
    content = b"" if tensor is None else save({"": tensor.detach().cpu().contiguous().clone()})
    stream.write(json.dumps([message, len(content)]).encode() + b"\n" + content)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], Tensor | Any]:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message, length = json.loads(line)
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return message, load(content)[""] if content else None


def _raise(name: str, message: str) -> NoReturn:
    """An error of the other process, under the name that it had there."""
    known: dict[str, type[Exception]] = {"OutOfMemoryError": torch.OutOfMemoryError}
    known |= {each.__name__: each for each in (UsageError, UnavailableError, ModelError)}
    raise known.get(name, type(name, (RuntimeError,), {}))(message)


def _status(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
