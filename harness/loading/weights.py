"""Trained weights: where they are, whether they fit, and what they say of their training."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from equibench.errors import ModelError, UsageError
from equibench.registry.registries import MODELS
from equibench.registry.specs import Spec

__all__ = ["Weights", "as_half", "load_weights", "read_weights", "save_weights", "weights_file"]

_KEY = "equibench"
"""Of the file's metadata, under which a training is described as JSON."""


@dataclass(frozen=True)
class Weights:
    """A state dict, and the training that it comes from (empty where the file does not say)."""

    state: Mapping[str, Tensor]
    trained: Mapping[str, Any]


def load_weights(model: object, spec: Spec, *, trust_pickle: bool = False) -> Mapping[str, Any]:
    """Load the weights that a spec names into a model, strictly.

    Args:
        trust_pickle: unpickle what is no plain state dict.

    Returns:
        What the file says of its training.

    Raises:
        UsageError: no such file or packaged weights.
        ModelError: the file cannot be read without unpickling code, is of another model, or
            does not fit.
    """
    file = weights_file(spec)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{spec.label}: weights={spec.weights} needs a torch.nn.Module, not a plain callable"
        )
    try:
        weights = read_weights(file, trust_pickle=trust_pickle)
    except Exception as error:
        reason = str(error).split("\n")[0]
        raise ModelError(
            f"{spec.label}: cannot read weights from {file}: {type(error).__name__}: {reason}; "
            "save a state dict, as safetensors or with torch.save, or, if you know who made it, "
            "unpickle it with --trust-pickle"
        ) from error
    _refuse_others(weights.trained, spec)
    _refuse_misfit(weights.state, model.state_dict(), spec)
    model.load_state_dict(weights.state, strict=True)
    return weights.trained


def weights_file(spec: Spec) -> Path:
    """The file that ``weights=`` names: packaged ones by name, others by path.

    Raises:
        UsageError: there is none.
    """
    assert spec.weights is not None
    packaged = MODELS.get(spec.reference).info.weights
    if spec.weights in packaged:
        return Path(packaged[spec.weights])
    file = Path(spec.weights).expanduser()
    if not file.is_file():
        known = f"; packaged are {', '.join(sorted(packaged))}" if packaged else ""
        raise UsageError(f"{spec.label}: there is no weights file {spec.weights}{known}")
    return file


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

    content = torch.load(file, map_location="cpu", weights_only=not trust_pickle)
    if isinstance(content, nn.Module):
        content = content.state_dict()
    content = content.get("state_dict", content) if isinstance(content, dict) else {"": content}
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError("it holds no state dict")
    return Weights(dict(content), {})


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
    if theirs.reference != spec.reference:
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


def _refuse_misfit(state: Mapping[str, Tensor], own: Mapping[str, Tensor], spec: Spec) -> None:
    wrong = [
        f"no {name}" if name not in state else f"{name} is {_size(state[name])}, not {_size(t)}"
        for name, t in own.items()
        if name not in state or state[name].shape != t.shape
    ]
    wrong += [f"{name} is unknown to the model" for name in state if name not in own]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(
            f"{spec.label}: the weights in {spec.weights} do not fit: {'; '.join(wrong[:3])}"
            f"{more}; build the model with the arguments that it was trained with"
        )


def _size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"
