"""Any model that a user can name, in this process or in one of its own."""

from collections.abc import Callable

from torch import Tensor

from equibench.loading.models import LoadedModel, build_model
from equibench.loading.separate_process import build_isolated
from equibench.registry.specs import Spec

__all__ = ["load_model", "load_spec"]


def load_model(
    spec: str, *, seed: int = 0, trust_pickle: bool = False, isolate: bool = False
) -> Callable[[Tensor], Tensor]:
    """The model that a spec stands for, as ``equibench run -m SPEC`` would measure it.

    A network comes as the ``torch.nn.Module`` that its factory built, in the mode that it left it
    in; with ``in.…`` or ``out.…`` keys it stands in a module that adapts images and outputs.

    Args:
        spec: ``unet-aps-3,width=0.125,weights=mri-sample``, ``module:attribute`` or
            ``path/to/net.py:build,channels=32``.
        seed: of what the factory draws from PyTorch's CPU generator, which is left as it was.
        trust_pickle: read files that can run code of their own as they are unpickled.
        isolate: build and run it in a process of its own.

    Returns:
        A callable from (B, C, H, W) to (B, C', H, W).

    Raises:
        UsageError: an unknown name, a missing extra, an argument the factory does not take, a
            file that needs ``trust_pickle``.
        ModelError: the factory raises or returns no callable, or the weights do not fit.
    """
    return load_spec(Spec.parse(spec), seed, trust_pickle=trust_pickle, isolate=isolate).model


def load_spec(
    spec: Spec, seed: int = 0, *, trust_pickle: bool = False, isolate: bool = False
) -> LoadedModel:
    """As ``load_model``, from a parsed spec, with label and provenance."""
    build = build_isolated if isolate else build_model
    return build(spec, seed, trust_pickle=trust_pickle)
