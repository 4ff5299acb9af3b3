"""Transfer rules of interpolation and adaptive pooling."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from equibench.evidence.reading.motion.context import Context
from equibench.evidence.reading.motion.factors import Breaks, Moving, Still, Value
from equibench.evidence.reading.motion.products import normal
from equibench.evidence.reading.motion.windows import resampled
from equibench.evidence.reading.rules.table import axes_of, only, rule

__all__: list[str] = []


# resampling


@rule("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
      "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d",
      "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d",
      "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "adaptive_avg_pool1d",
      "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d",
      "_adaptive_avg_pool3d")  # fmt: skip
def resample(c: Context, **arguments: Any) -> Value:
    value = arguments.get("self", arguments.get("input"))
    assert isinstance(value, Value)
    name = str(c.node.target).split(".")[1]
    count = next(int(n) for n in "123" if f"{n}d" in name)
    return _resampled(c, value, count, lambda i: _weights(name, arguments, count, i, value, c))


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(c: Context, self: Value, output_size: Any) -> tuple[Any, Any]:
    name = str(c.node.target).split(".")[1]
    count = next(int(n) for n in "123" if f"{n}d" in name)

    def windows(i: int) -> Tensor:
        eye = torch.eye(self.shape[i - count], dtype=torch.float64)[None]
        return functional.adaptive_avg_pool1d(eye, c.shape[i - count])[0].T

    pooled = _resampled(c, self, count, windows)
    return pooled, c.blame("gives the places of maxima, which are absolute")


def _resampled(c: Context, value: Value, count: int, weights: Any) -> Value:
    dims = list(value.dims)
    blame = c.blame("resamples otherwise at the border")
    for i in range(count):
        d = len(dims) - count + i
        dim, size = dims[d], c.shape[d]
        if all(isinstance(f, Still) for f in dim):
            even = all(isinstance(f, Still) and f.even for f in dim)
            dims[d] = normal([Still(size, even)])
        elif size == 1 and bool((weights(i) == weights(i)[0, 0]).all()):
            c.summed([dim], "averages")
            dims[d] = ()
        elif isinstance(moving := only(dim), Moving):
            matrix = weights(i).numpy()
            if matrix.shape[0] == matrix.shape[1] and (matrix == np.eye(size)).all():
                continue
            dims[d] = (resampled(moving, matrix, blame, c.lattice),)
        else:
            raise Breaks("resamples a flattened map", axes_of(value))
    return Value(tuple(dims))


def _weights(
    name: str, arguments: dict[str, Any], count: int, i: int, value: Value, c: Context
) -> Tensor:
    """The matrix (size out, size in) of a separable resampling along one of its dimensions."""
    size = value.shape[i - count]
    eye = torch.eye(size, dtype=torch.float64)[None, :, :, None]  # (1, C, size, 1)
    target = (c.shape[i - count], 1)
    if name.startswith(("adaptive", "_adaptive")):
        out = functional.adaptive_avg_pool2d(eye, target)
        return out[0, :, :, 0].T
    scale = arguments.get("scale_factors")
    if scale is None:
        scale = arguments.get(f"scales_{'dhw'[3 - count + i]}", arguments.get("scales"))
    else:
        scale = scale[i]
    kinds = {"nearest_exact": "_upsample_nearest_exact2d", "nearest": "upsample_nearest2d",
             "linear": "upsample_bilinear2d", "bicubic": "upsample_bicubic2d"}  # fmt: skip
    kind = next(v for k, v in kinds.items() if k in name)
    if name.endswith("_aa"):
        kind = f"_{kind}_aa"
    corners = [arguments["align_corners"]] if "align_corners" in arguments else []
    operator = getattr(torch.ops.aten, kind).default
    out = operator(eye, target, *corners, scale, None)
    return out[0, :, :, 0].T  # type: ignore[no-any-return]
