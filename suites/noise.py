"""White Gaussian noise: an input that no network has seen."""

from collections.abc import Mapping

import numpy as np

from equibench.cases.suite import Case, Suite
from equibench.errors import UsageError
from equibench.foundation.seeds import generator
from equibench.registry.registries import register_suite

__all__ = ["Noise"]


@register_suite("noise", summary="white Gaussian noise, out of distribution for every network")
class Noise(Suite):
    """White Gaussian noise of standard deviation ``sigma`` (protocol, section 2).

    A case is one image (1, 1, size, size), with ``dims=1`` a signal and with ``dims=3`` a volume.
    It is seeded by its name, so neither ``n`` nor the order of loading changes it.
    """

    name = "noise"

    def __init__(self, n: int = 32, size: int = 320, sigma: float = 1000.0, dims: int = 2) -> None:
        if n < 1 or size < 1:
            raise UsageError(f"suite 'noise': n={n} and size={size} must be at least 1")
        if dims not in (1, 2, 3):
            raise UsageError(f"suite 'noise': dims={dims} is not 1, 2 or 3")
        self.axes = dims
        self.n = n
        self.size = size
        self.sigma = sigma

    @property
    def configuration(self) -> Mapping[str, str | int | float | bool]:
        dims = {} if self.axes == 2 else {"dims": self.axes}  # as it was before there were others
        return {"n": self.n, "size": self.size, "sigma": self.sigma, **dims}

    def cases(self) -> list[str]:
        return [f"{i:05d}" for i in range(self.n)]

    def load(self, name: str) -> Case:
        import torch

        shape = (1, 1, *[self.size] * self.axes)
        image = generator(self.name, name).standard_normal(shape, dtype=np.float32)
        return Case(name=name, input=torch.from_numpy(image * np.float32(self.sigma)))
