"""From what users type to models and suites that can be evaluated."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from equibench.cases.suite import Suite
from equibench.errors import DataError, EquibenchError, ModelError, UsageError
from equibench.loading.adapter_keys import Adaptation
from equibench.loading.adapters import Adapted
from equibench.loading.weights import load_weights
from equibench.registry.entries import Entry, Info
from equibench.registry.plugin_files import Repository, repository_of, visible
from equibench.registry.provenance import source_sha256
from equibench.registry.registries import MODELS, SUITES
from equibench.registry.specs import Spec

__all__ = [
    "LoadedModel",
    "build_suite",
    "case_names",
    "load_model",
    "seeded",
]


@dataclass(frozen=True)
class LoadedModel:
    """A model, what the rows call it, and where it comes from.

    Args:
        weights: a phrase for tables and pages; empty where nothing is known.
        provenance: hashes and metadata for the manifest.
    """

    label: str
    model: Callable[[Tensor], Tensor]
    weights: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


def load_model(
    spec: Spec, seed: int = 0, *, trust_pickle: bool = False, isolate: bool = False
) -> LoadedModel:
    """Build a model, load its weights, strictly, and put its adapters around it.

    Args:
        seed: of what the factory draws from PyTorch's CPU generator, which is left as it was.
        trust_pickle: read files that can run code of their own as they are unpickled.
        isolate: build and run it in a process of its own.

    Raises:
        UsageError: an unknown name, a missing extra, an argument the factory does not take, a
            file that needs ``trust_pickle``.
        ModelError: the factory raises or returns no callable, or the weights do not fit.
    """
    if isolate:
        from equibench.loading.separate_process import load_isolated

        return load_isolated(spec, seed, trust_pickle=trust_pickle)
    entry = MODELS.get(spec.reference)
    with seeded(seed):  # a plugin may build its model as it is imported
        factory = entry.require()
    entry.check(spec.arguments)
    adaptation = Adaptation.of(spec.adapters, spec.label)
    repository = repository_of(spec.reference)
    with visible(repository):
        model = _built(entry, factory, spec, seed, trust_pickle)
        weights = "untrained" if entry.info.details.get("trained") is False else ""
        trained: Mapping[str, Any] = {}
        if spec.weights is not None:
            trained = load_weights(model, spec, trust_pickle=trust_pickle)
            weights = spec.weights
        provenance = _provenance(model, factory, entry.info)
    provenance |= {"trained": trained} if trained else {}
    if entry.file is not None:
        weights = entry.file.name
        provenance["file_sha256"] = hashlib.sha256(entry.file.read_bytes()).hexdigest()
    if repository is not None:
        model = _hosted(model, repository)
    if spec.adapters:
        model = Adapted(model, adaptation, spec.label)
        provenance["adapters"] = dict(spec.adapters)
    return LoadedModel(spec.label, model, weights, provenance)


def _built(entry: Entry[Any], factory: Any, spec: Spec, seed: int, trust_pickle: bool) -> Any:
    arguments = dict(spec.arguments)
    if trust_pickle and entry.file is not None and "trust_pickle" in entry.parameters:
        arguments["trust_pickle"] = True
    try:
        with seeded(seed):
            ready = isinstance(factory, nn.Module)
            model = factory if ready else factory(**arguments)
    except EquibenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = str(error).split("\n")[0]
        raise ModelError(
            f"{spec.label} cannot be built: {type(error).__name__}: {reason}"
        ) from error
    if not callable(model):
        raise ModelError(
            f"{spec.label}: {entry.origin} gave a {type(model).__name__}, "
            "not a callable from (B, C, H, W) to (B, C', H, W)"
        )
    return model


def _hosted(model: Any, repository: Repository) -> Any:
    """A model that sees the modules of its repository while it runs, for what it imports then."""
    if isinstance(model, nn.Module):
        calls: list[ExitStack] = []

        def enter(*_: object) -> None:
            calls.append(ExitStack())
            calls[-1].enter_context(repository.visible())

        def leave(*_: object) -> None:
            calls.pop().close()

        model.register_forward_pre_hook(enter)
        model.register_forward_hook(leave, always_call=True)
        return model

    @wraps(model, updated=())
    def forward(images: Tensor) -> Any:
        with repository.visible():
            return model(images)

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


def build_suite(spec: Spec, data: Mapping[str, str]) -> Suite:
    """The suite that a spec describes.

    Args:
        data: data roots by name of the suite.

    Raises:
        UsageError: an unknown name or argument, a missing extra or data root.
    """
    if spec.adapters:
        raise UsageError(
            f"{', '.join(spec.adapters)} at suite {spec.reference!r}: adapters belong to models"
        )
    entry = SUITES.get(spec.reference)
    arguments = dict(spec.arguments)
    if spec.reference in data:
        arguments["root"] = data[spec.reference]
    entry.check(arguments)
    try:
        suite = entry.object(**arguments)
    except EquibenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise UsageError(f"suite {spec.reference!r} cannot be built: {reason}") from error
    if not isinstance(suite, Suite) or not isinstance(getattr(suite, "name", None), str):
        raise UsageError(
            f"{entry.origin} gave a {type(suite).__name__}, not an equibench Suite with a name"
        )
    suite.label = spec.chosen_label or suite.name
    return suite


def case_names(suite: Suite, limit: int | None = None) -> list[str]:
    """The names of a suite's cases, or of the first ``limit``.

    Raises:
        UsageError: there are none, or two share a name.
    """
    try:
        names = list(islice(suite.cases(), limit))
    except EquibenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise DataError(f"suite {suite.label!r} cannot list its cases: {reason}") from error
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"suite {suite.label!r} lists cases that are no text: {names[0]!r}")
    if not names:
        raise UsageError(f"suite {suite.label!r} has no cases")
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"suite {suite.label!r} has {count} cases called {name!r}")
    return names


def _provenance(model: object, factory: object, info: Info) -> dict[str, Any]:
    """What identifies a model: its tensors and the sources that its layers come from."""
    targets: list[object] = [factory]
    found: dict[str, Any] = {"details": dict(info.details)}
    if isinstance(model, nn.Module):
        targets += dict.fromkeys(type(module) for module in model.modules())
        state = hashlib.sha256()
        for name, value in model.state_dict().items():
            if isinstance(value, Tensor):
                state.update(name.encode())
                raw = value.detach().cpu().contiguous().flatten().view(torch.uint8)
                state.update(raw.numpy().data)
        found["parameters"] = sum(p.numel() for p in model.parameters())
        found["state_sha256"] = state.hexdigest()
    return found | {"source_sha256": source_sha256(targets)}
