"""Image-to-image networks of transformers and diffusers, from folders that they have saved.

The reader is registered under the prefix of such folders: ``equibench run -m hf:path/to/folder``.
Nothing is downloaded, and no code of a folder is run.
"""

import importlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equibench.errors import ModelError, UsageError
from equibench.registry.registries import register_model

if TYPE_CHECKING:
    from equibench.models.hugging_face_network import HuggingFaceNetwork

__all__ = ["network"]

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_NAMED = 3
"""Tensors that a message names, of those that do not fit."""
_REMEDY = "hf: takes a folder that save_pretrained(folder) has written"


@register_model(
    "hf:",
    summary="folders of transformers and diffusers: config.json and safetensors",
    modules=("transformers", "diffusers"),
    extra="hf",
)
def network(folder: Path) -> "HuggingFaceNetwork":
    """The network of a folder, in float32, with all of its weights and no others.

    Its class is the one that ``config.json`` names, of the installed library.

    Raises:
        UsageError: there is no such folder, it has no ``config.json`` or no safetensors, or the
            library has no network of that class.
        ModelError: its weights are not those of the network.
    """
    from equibench.models.hugging_face_network import HuggingFaceNetwork

    file, config = _config(folder)
    weights = _weights(folder)
    with _quiet_and_offline():
        kind, library, arguments = _class_of(file, config)
        found, info = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **arguments,
        )
    misfits = [
        f"{how} {_listed(names)}"
        for how in ("missing", "unexpected", "mismatched")
        if (names := _names(info[f"{how}_keys"]))
    ]
    if misfits:
        raise ModelError(
            f"the weights in {folder} do not fit {kind.__name__} of {library}: "
            f"{'; '.join(misfits)}: save weights and config.json together, by save_pretrained",
            topic="weights-do-not-fit",
        )
    return HuggingFaceNetwork(found, [file, *weights])


def _config(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file that describes a network, and what it says."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}: {_REMEDY}, and downloads nothing")
    file = folder / "config.json"
    if (folder / "model_index.json").is_file():
        parts = sorted(f"hf:{part.parent}" for part in folder.glob("*/config.json"))
        raise UsageError(
            f"{folder} holds a pipeline of diffusers, no network: name one of its networks, "
            f"{' or '.join(parts) or _REMEDY}"
        )
    try:
        config = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{folder} has no config.json: {_REMEDY}") from None
    except ValueError as error:
        raise UsageError(f"{file} is no JSON ({error}): {_REMEDY}") from None
    if not isinstance(config, dict):
        raise UsageError(f"{file} describes no network: {_REMEDY}")
    return file, config


def _weights(folder: Path) -> list[Path]:
    """The safetensors of a folder."""
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found
    pickled = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickled:
        raise UsageError(
            f"{folder} has pickled weights only ({pickled[0]}), which are not read: load them "
            "where you trust them, and save_pretrained(folder) writes safetensors",
            topic="pickled-code",
        )
    raise UsageError(f"{folder} has no weights (*.safetensors): {_REMEDY}")


def _class_of(file: Path, config: dict[str, Any]) -> tuple[Any, str, dict[str, Any]]:
    """The class that a configuration names, its library, and how that is told of float32."""
    import torch

    arguments: dict[str, Any]
    if "_class_name" in config:
        library: Any = importlib.import_module("diffusers")
        name, base = config["_class_name"], library.ModelMixin
        arguments = {"torch_dtype": torch.float32, "low_cpu_mem_usage": False}
    else:
        library = importlib.import_module("transformers")
        name = next(iter(config.get("architectures") or ()), None)
        base, arguments = library.PreTrainedModel, {"dtype": torch.float32}
    if name is None:
        raise UsageError(f"{file} names no class (architectures or _class_name): {_REMEDY}")
    kind = getattr(library, str(name), None)
    version = f"{library.__name__} {library.__version__}"
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise UsageError(
            f"{file} names {name}, which is no network of {version}: install a version that has "
            "it; code of a folder is not run"
        )
    return kind, version, arguments


@contextmanager
def _quiet_and_offline() -> Iterator[None]:
    """Let the libraries neither speak nor reach the network meanwhile."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers.utils.logging
        import transformers.utils.logging

        talkers = (diffusers.utils.logging, transformers.utils.logging)
        before = [(talker.get_verbosity(), talker._tqdm_active) for talker in talkers]
        constants.HF_HUB_OFFLINE = True  # whatever a configuration names
        for talker in talkers:
            talker.set_verbosity(logging.CRITICAL)
            talker._tqdm_active = False  # disable_progress_bar() is for huggingface_hub as well
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = offline
            for talker, (verbosity, active) in zip(talkers, before, strict=True):
                talker.set_verbosity(verbosity)
                talker._tqdm_active = active


def _names(keys: Any) -> list[str]:
    """Of tensors; those of another shape come with both shapes, which are left out."""
    return sorted(key if isinstance(key, str) else str(key[0]) for key in keys)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
