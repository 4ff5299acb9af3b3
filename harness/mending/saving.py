"""A treated network as a file that needs neither its code nor equibench."""

import inspect
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from equibench.errors import EquibenchError, ModelError, UsageError, reason

__all__ = ["save"]

_MOST = 4096
"""Images of a batch."""


def save(network: Any, images: Tensor, file: Path) -> None:
    """Write a program of ``torch.export`` in ``eval()`` mode: for images of this size, any number.

    Args:
        images: (B, C, H, W), B at least 2.

    Raises:
        UsageError: another suffix than ``.pt2``, or what is no module.
        ModelError: PyTorch cannot write the network down.
    """
    if file.suffix != ".pt2":
        raise UsageError(f"{file}: networks are written by torch.export: choose {file.stem}.pt2")
    if not isinstance(network, nn.Module):
        raise UsageError(f"{type(network).__name__} is a plain callable: only modules are written")
    training = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is deprecated in PyTorch itself
            network(images)  # total strides are tried before anything is written down
            shapes = {0: torch.export.Dim("batch", min=1, max=_MOST)}
            first = next(iter(inspect.signature(network.forward).parameters.values()))
            nested = first.kind is first.VAR_POSITIONAL
            program = torch.export.export(
                network, (images,), dynamic_shapes=((shapes,),) if nested else (shapes,),
                strict=False,
            )  # fmt: skip
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.export.save(program, file)
    except EquibenchError:
        raise
    except Exception as error:
        raise ModelError(
            f"{type(network).__name__} cannot be written to {file}: {type(error).__name__}: "
            f"{reason(error)}"
        ) from error
    finally:
        for module, mode in training:
            module.training = mode
