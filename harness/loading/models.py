"""A model from its spec, built in this process: factory, weights, adapters, provenance."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from equibench.errors import ModelError, UsageError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.inference.adapter_keys import AdapterKeys
from equibench.inference.adapters import Adapted, further_inputs
from equibench.loading.treatments import mend, treatments_of
from equibench.loading.weights import load_weights
from equibench.registry.entries import Entry, Info
from equibench.registry.plugin_files import Repository, repository_of, visible
from equibench.registry.provenance import source_sha256
from equibench.registry.registries import MODELS, TREATMENTS
from equibench.registry.specs import Spec
from equibench.state.object_graph import registered_modules
from equibench.state.process_state import process_kept
from equibench.state.tensor_memory import bytes_of

__all__ = [
    "LoadedModel",
    "build_model",
    "seeded",
]


@dataclass(frozen=True)
class LoadedModel:
    """A model, what the rows call it, and where it comes from.

    Args:
        weights: a phrase for tables and pages; empty where nothing is known.
        provenance: hashes and metadata for the manifest.
        notes: what was decided for the user, to be said once.
    """

    label: str
    model: Callable[[Tensor], Tensor]
    weights: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def build_model(spec: Spec, seed: int = 0, *, trust_pickle: bool = False) -> LoadedModel:
    """Build a model, load its weights, strictly, and put its adapters around it.

    Args:
        seed: of what the factory draws from PyTorch's CPU generator, which is left as it was.
        trust_pickle: read files that can run code of their own as they are unpickled.

    Raises:
        UsageError: an unknown name, a missing extra, an argument the factory does not take, a
            file that needs ``trust_pickle``.
        ModelError: the factory raises or returns no callable, or the weights do not fit.
    """
    if spec.metrics:
        chosen = "/".join(spec.metrics)
        raise UsageError(f"metrics={chosen} at model {spec.label!r}: metrics belong to suites")
    entry = MODELS.get(spec.reference)
    with seeded(seed):  # a plugin may build its model as it is imported
        factory = entry.require()
    entry.check(spec.arguments)
    repository = repository_of(spec.reference)
    with visible(repository):
        model = _built(entry, factory, spec, seed, trust_pickle)
        weights = "untrained" if entry.info.details.get("trained") is False else ""
        trained: Mapping[str, Any] = {}
        notes: list[str] = []
        if spec.weights is not None:
            loaded = load_weights(model, spec, trust_pickle=trust_pickle)
            weights, trained = spec.weights, loaded.trained
            notes += [loaded.taken] if loaded.taken else []
            treated = loaded.trained.get("mend")
            if treated and treated != spec.mend:
                notes.append(f"weights were trained with mend={treated}")
        with guarded(lambda error: f"{spec.label} cannot be described: {kind_and_reason(error)}"):
            provenance = _provenance(model, factory, entry.info)
            files = _files_of(model, entry.file)
    provenance |= {"trained": trained} if trained else {}
    provenance |= {"notes": notes} if notes else {}
    if files:
        weights = (entry.file or files[0]).name
        provenance["file_sha256"] = _sha256(files)
    with guarded(lambda error: f"{spec.label} cannot be called: {kind_and_reason(error)}"):
        inputs = further_inputs(model)
        if repository is not None:
            model = _hosted(model, repository)
    if spec.mend:
        model = mend(model, spec.mend)
        provenance["mend"] = {
            "treatments": spec.mend,
            "source_sha256": source_sha256(_sources(spec.mend)),
        }
    if spec.adapters:
        model = Adapted(model, AdapterKeys.of(spec.adapters, spec.label, inputs), spec.label)
        provenance["adapters"] = dict(spec.adapters)
    return LoadedModel(spec.label, model, weights, provenance, tuple(notes))


def _sha256(files: Sequence[Path]) -> str:
    """Of a file, or of the names and hashes of several."""
    hashes = []
    for file in files:
        with file.open("rb") as content:
            hashes.append(hashlib.file_digest(content, "sha256").hexdigest())
    if len(files) == 1:
        return hashes[0]
    lines = (f"{value}  {file.name}\n" for file, value in zip(files, hashes, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files_of(model: object, referred: Path | None) -> list[Path]:
    """What a model was read from, as it says itself (``OnnxNetwork.file``), or its reference."""
    if isinstance(found := getattr(model, "files_read", None), list):
        return found
    of_runtime = None if isinstance(model, nn.Module) else getattr(model, "file", None)
    file = referred or of_runtime
    return [file] if isinstance(file, Path) and file.is_file() else []


def _sources(treatments: str) -> list[object]:
    """The factories of treatments, whose code a network's output depends on."""
    return [TREATMENTS.get(spec.reference).require() for spec in treatments_of(treatments)]


def _built(entry: Entry[Any], factory: Any, spec: Spec, seed: int, trust_pickle: bool) -> Any:
    arguments = dict(spec.arguments)
    if trust_pickle and entry.file is not None and "trust_pickle" in entry.parameters:
        arguments["trust_pickle"] = True
    with (
        guarded(lambda error: f"{spec.label} cannot be built: {kind_and_reason(error)}"),
        process_kept(),
        seeded(seed),
    ):
        ready = isinstance(factory, nn.Module)
        model = factory if ready else factory(**arguments)
    if not callable(model):
        raise ModelError(
            f"{spec.label}: {entry.origin} gave a {type(model).__name__}, "
            "not a callable from (B, C, H, W) to (B, C', H, W)",
            topic="no-network",
        )
    return model


def _hosted(model: Any, repository: Repository) -> Any:
    """A model that sees the modules of its repository while it runs, for what it imports then."""
    if isinstance(model, ScriptModule):
        return model  # it is compiled, and imports nothing
    if isinstance(model, nn.Module):
        if "_forward_within" in vars(model):
            return model  # a file may give the same object twice

        # no hooks: an interrupt passes them by, and would leave the modules visible for good
        @wraps(type(model).forward)
        def method(self: Any, *images: Any, **named: Any) -> Any:
            with repository.visible():
                return self._forward_within(*images, **named)

        hosted: Any = model
        hosted._forward_within = model.forward  # both are bound anew in a copy of the model
        hosted.forward = MethodType(method, model)
        hosted.thread_safe = False  # modules are the process's
        return model

    @wraps(model, updated=())
    def forward(*images: Any, **named: Any) -> Any:
        with repository.visible():
            return model(*images, **named)

    return forward


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's CPU generator, and leave it and the default dtype as they were."""
    dtype = torch.get_default_dtype()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_default_dtype(dtype)


def _provenance(model: object, factory: object, info: Info) -> dict[str, Any]:
    """What identifies a model: its tensors and the sources that its layers come from."""
    targets: list[object] = [factory]
    found: dict[str, Any] = {"details": dict(info.details)}
    if isinstance(model, nn.Module):
        modules = registered_modules(model)
        targets += dict.fromkeys(type(module) for module in modules)
        state = hashlib.sha256()
        for name, value in model.state_dict(keep_vars=True).items():
            if isinstance(value, Tensor):
                state.update(name.encode())
                for part in bytes_of(value):
                    state.update(part)
        own = {id(p): p for module in modules for p in module.parameters(recurse=False)}
        lazy = UninitializedTensorMixin
        found["parameters"] = sum(p.numel() for p in own.values() if not isinstance(p, lazy))
        found["state_sha256"] = state.hexdigest()
    return found | {"source_sha256": source_sha256(targets)}
