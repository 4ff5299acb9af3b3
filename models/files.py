"""Model files: TorchScript, torch.export, ONNX, and Lightning checkpoints of fastMRI's U-Net.

Each reader is registered under the suffix of its files, so that a path names a model:
``equibench run -m path/to/net.onnx``.
"""

import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from equibench.errors import UsageError
from equibench.registry.registries import register_model
from equibench.registry.specs import weights_of

if TYPE_CHECKING:
    from torch import nn

__all__ = ["checkpoint", "exported", "onnx", "torchscript"]


@register_model(".pt", summary="TorchScript files")
def torchscript(file: Path, trust_pickle: bool = False) -> "nn.Module":
    """A network from a TorchScript file.

    TorchScript is read by PyTorch's C++ code, which builds tensors and TorchScript objects only:
    Python's unpickler is not involved. A whole pickled module is no TorchScript.

    Raises:
        UsageError: there is no such file, it holds a state dict, or a pickled module and
            ``trust_pickle`` is not set.
    """
    import torch
    from torch import nn

    _present(file)
    if "constants.pkl" in _members(file):
        with warnings.catch_warnings():  # deprecated; files of it will be around for years
            warnings.simplefilter("ignore")
            network: nn.Module = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
        return network
    reason = "it is no TorchScript but a pickled module: unpickling runs any code it names"
    content = _unpickled(file, trust_pickle, reason)
    if isinstance(content, dict):  # as trainers keep them: {"model": module, "epoch": …}
        modules = [value for value in content.values() if isinstance(value, nn.Module)]
        content = modules[0] if modules else content
    if not isinstance(content, nn.Module):
        _no_network(file)
    return content


@register_model(".pt2", summary="files of torch.export")
def exported(file: Path, trust_pickle: bool = False) -> "nn.Module":
    """A network from a file that ``torch.export.save`` has written.

    Raises:
        UsageError: there is no such file, or ``trust_pickle`` is not set: ``torch.export.load``
            unpickles what it cannot read otherwise, and evaluates symbolic sizes as Python.
    """
    import torch

    _present(file)
    if not trust_pickle:
        _needs_trust(file, "torch.export.load unpickles, and evaluates expressions in the file")
    network: nn.Module = torch.export.load(file).module()
    for name in ("train", "eval"):  # they raise: a mode is part of what was exported
        vars(network)[name] = lambda mode=True: network
    return network


@register_model(
    ".onnx", summary="ONNX files, by onnxruntime", modules=("onnxruntime",), extra="onnx"
)
def onnx(file: Path, input: str | None = None, output: str | None = None) -> Any:
    """A network from an ONNX file, on the GPU where onnxruntime has a CUDA provider.

    Args:
        input, output: their names, where there are several.

    Raises:
        UsageError: there is no such file, input or output.
    """
    from equibench.models.onnx_session import OnnxNetwork

    _present(file)
    return OnnxNetwork(file, input, output)


@register_model(
    ".ckpt",
    summary="Lightning checkpoints of fastMRI's U-Net module",
    modules=("fastmri",),
    extra="fastmri",
    padding="zeros",
    citation="Zbontar et al., fastMRI, 2018",
)
def checkpoint(file: Path, trust_pickle: bool = False) -> "nn.Module":
    """The U-Net of fastMRI, with the weights of a checkpoint of its ``UnetModule``.

    Its size is read off the tensors, not off hyper-parameters, which need unpickling.

    Raises:
        UsageError: there is no such file, it holds more than tensors and plain values and
            ``trust_pickle`` is not set, or it is of another module.
    """
    from fastmri.models import Unet

    _present(file)
    reason = "it holds objects of Python beside the weights: unpickling runs any code they name"
    content = _unpickled(file, trust_pickle, reason)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    prefix = "unet."
    weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    first = weights.get("down_sample_layers.0.layers.0.weight")
    if first is None:
        kinds = ", ".join(sorted({str(name).partition(".")[0] for name in state})) or "nothing"
        raise UsageError(
            f"{file} is no checkpoint of fastMRI's UnetModule (it has {kinds}): name what "
            f"builds the network, path/to/net.py:build,{weights_of(file)}"
        )
    depth = sum(
        k.startswith("down_sample_layers") and k.endswith("layers.0.weight") for k in weights
    )
    last = [v for k, v in weights.items() if k.startswith("up_conv") and k.endswith(".bias")]
    network: nn.Module = Unet(first.shape[1], len(last[-1]), first.shape[0], depth)
    network.load_state_dict(weights)
    return network


def _present(file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"there is no model file {file}")


def _members(file: Path) -> set[str]:
    """The names in an archive, without the folder that they are all in."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {name.partition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile:
        return set()


def _unpickled(file: Path, trust: bool, reason: str) -> Any:
    """What ``torch.save`` wrote; more than tensors and plain values only where it is trusted."""
    import pickle

    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if trust or "weights_only" not in str(error).lower():
            raise UsageError(f"{file} is no model file: {str(error).splitlines()[0]}") from None
        _needs_trust(file, reason)


def _needs_trust(file: Path, reason: str) -> NoReturn:
    raise UsageError(
        f"{file} needs --trust-pickle: {reason}. Give it if you know who made the file; --isolate "
        "keeps it out of this process, but not off this machine",
        topic="pickled-code",
    )


def _no_network(file: Path) -> NoReturn:
    raise UsageError(
        f"{file} holds a state dict, no network: name what builds it, "
        f"path/to/net.py:build,{weights_of(file)}"
    )
