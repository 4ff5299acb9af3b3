"""Trained weights: where they are, whether they fit, and what they say of their training."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from equibench.errors import ModelError, UsageError, reason
from equibench.foundation.file_names import as_path
from equibench.loading.checkpoints import Misfit, fit
from equibench.registry.registries import MODELS
from equibench.registry.specs import Spec

__all__ = [
    "Loaded",
    "Weights",
    "as_half",
    "load_weights",
    "read_weights",
    "save_weights",
    "weights_file",
]

_KEY = "equibench"
"""Of the file's metadata, under which a training is described as JSON."""


@dataclass(frozen=True)
class Weights:
    """What a file holds, and the training that it comes from (empty where it does not say)."""

    content: object
    trained: Mapping[str, Any]


@dataclass(frozen=True)
class Loaded:
    """What a model has been given.

    Args:
        trained: what the file says of its training.
        taken: which part of the file it is, in words; empty where it is the whole.
    """

    trained: Mapping[str, Any]
    taken: str


def load_weights(model: object, spec: Spec, *, trust_pickle: bool = False) -> Loaded:
    """Load the weights that a spec names into a model, strictly.

    Args:
        trust_pickle: unpickle what is no plain state dict.

    Raises:
        UsageError: no such file or packaged weights.
        ModelError: the file cannot be read without unpickling code, is of another model, or
            does not fit.
    """
    file, part = _located(spec)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{spec.label}: weights={spec.weights} needs a torch.nn.Module, not a plain callable"
        )
    weights = _read(file, spec, trust_pickle)
    _refuse_others(weights.trained, spec)
    try:
        fitted = fit(weights.content, model, part)
    except Misfit as misfit:
        remedy = "build the model with the arguments that it was trained with"
        end = f"; {remedy}" if str(misfit).startswith("do not fit") else ""
        raise ModelError(
            f"{spec.label}: the weights in {file} {misfit}{end}".replace("FILE", str(file)),
            topic="weights-do-not-fit",
        ) from None
    # checked already; what is no tensor stays as the model made it
    model.load_state_dict(fitted.state, strict=False)
    taken = f"weights are {fitted} of {file}" if str(fitted) else ""
    return Loaded(weights.trained, taken)


def weights_file(spec: Spec) -> Path:
    """The file that ``weights=`` names: packaged ones by name, others by path.

    Raises:
        UsageError: there is none.
    """
    return _located(spec)[0]


def _located(spec: Spec) -> tuple[Path, str]:
    """A file, and which of its parts: ``net.pth#params_ema``."""
    assert spec.weights is not None
    packaged = MODELS.get(spec.reference).info.weights
    if spec.weights in packaged:
        return Path(packaged[spec.weights]), ""
    name, _, part = spec.weights.rpartition("#")
    for path, chosen in ((spec.weights, ""), (name, part)):
        if path and (file := as_path(path)).is_file():
            return file, chosen
    known = f"; packaged are {', '.join(sorted(packaged))}" if packaged else ""
    raise UsageError(f"{spec.label}: there is no weights file {spec.weights}{known}")


def read_weights(file: Path, *, trust_pickle: bool = False) -> Weights:
    """Read safetensors, or what ``torch.save`` wrote, without running code from the file.

    Args:
        trust_pickle: run what the file asks for, as unpickling does.
    """
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, framework="pt") as content:
            trained = json.loads((content.metadata() or {}).get(_KEY, "{}"))
            return Weights({name: content.get_tensor(name) for name in content.keys()}, trained)  # noqa: SIM118
    import torch

    return Weights(torch.load(file, map_location="cpu", weights_only=not trust_pickle), {})


def _read(file: Path, spec: Spec, trust_pickle: bool) -> Weights:
    try:
        return read_weights(file, trust_pickle=trust_pickle)
    except Exception as error:
        topic, remedy = "", "save a state dict, as safetensors or with torch.save"
        if isinstance(error, pickle.UnpicklingError) and not trust_pickle:
            remedy += ", or, if you know who made it, unpickle it with --trust-pickle"
            topic = "pickled-code"
        raise ModelError(
            f"{spec.label}: cannot read weights from {file}: {type(error).__name__}: "
            f"{reason(error)}; {remedy}",
            topic=topic,
        ) from error


def save_weights(
    model: nn.Module, file: Path, trained: Mapping[str, Any], *, half: bool = False
) -> None:
    """Write safetensors that describe their training; equal trainings give equal bytes.

    Args:
        half: write kernels and matrices as float16.
    """
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if half:
        state = {name: as_half(value) for name, value in state.items()}
    content = save(state, {_KEY: json.dumps(trained, sort_keys=True)})
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    partial.write_bytes(content)
    partial.replace(file)


def as_half(value: Tensor) -> Tensor:
    """A kernel or matrix in float16; what norms and biases hold is little, and stays as it is."""
    return value.half() if value.is_floating_point() and value.ndim > 1 else value


def _refuse_others(trained: Mapping[str, Any], spec: Spec) -> None:
    """Weights that were trained for another registered model, or with other arguments."""
    name = trained.get("model")
    if name is None:
        return
    theirs = Spec(str(name), dict(trained.get("arguments", {})))
    if not _same_network(theirs.reference, spec.reference):
        wrong = f"{theirs.label}, not of {Spec(spec.reference, spec.arguments).label}"
    else:
        entry = MODELS.get(spec.reference)
        has, wants = entry.complete(theirs.arguments), entry.complete(spec.arguments)
        differing = [key for key in wants if has.get(key) != wants[key]]
        if not differing:
            return
        given = ", ".join(f"{key}={has.get(key)}" for key in differing)
        asked = ", ".join(f"{key}={wants[key]}" for key in differing)
        wrong = f"{spec.reference} with {given}, not with {asked}"
    raise ModelError(f"{spec.label}: weights={spec.weights} are of {wrong}")


def _same_network(one: str, other: str) -> bool:
    """Whether two references name one network; files may lie elsewhere under the same name."""
    if one == other:
        return True
    files = [reference.rpartition(":") for reference in (one, other)]
    names = {(as_path(path).name, attribute) for path, _, attribute in files}
    return len(names) == 1 and all(path.endswith(".py") for path, *_ in files)
