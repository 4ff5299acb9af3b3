"""An ONNX network as a callable on tensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from equibench.errors import UsageError
from equibench.inference.precision import current_precision

__all__ = ["OnnxNetwork"]

Array = NDArray[Any]

_DTYPES = {"float": np.float32, "double": np.float64, "float16": np.float16, "bool": np.bool_} | {
    f"{sign}int{bits}": np.dtype(f"{sign}int{bits}").type
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
_PRECISIONS = {np.float32: "fp32", np.float64: "fp64", np.float16: "fp16"}


class OnnxNetwork:
    """Images (B, C, H, W) to the output of an ONNX network, on their device.

    A session is made for each device and precision that is met. The network computes in the
    precision that it was exported in: another one is refused. TF32 is off unless asked for. A
    network with a fixed batch is given so many images at a time; one that takes whole numbers is
    given rounded ones; whole numbers that come out are given as float32.

    Args:
        input, output: their names; by default the only input with the axes of images, and all
            outputs.

    Raises:
        UsageError: there is no such input or output; from calls, another precision, or a GPU
            that this onnxruntime cannot use.
    """

    outlives_calls = True
    """A measurement does not put it back: sessions are kept for the next one."""

    def __init__(self, file: Path, input: str | None = None, output: str | None = None) -> None:
        self.name = file.name
        self.file = file
        self.sessions: dict[tuple[str, str], Any] = {}
        session = self._session(torch.device("cpu"), "fp32")
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self.input = self._chosen("input", inputs, input)
        names = [each.name for each in outputs]
        self.outputs = [self._chosen("output", outputs, output)] if output else names
        self.shapes = {each.name: tuple(each.shape) for each in inputs}
        self.dtypes = {each.name: self._dtype(each) for each in inputs}
        self.further = {_key(name): name for name in self.shapes if name != self.input}

    @property
    def input_names(self) -> list[str]:
        """What it takes besides images, as keys of adapters name it."""
        return list(self.further)

    def __call__(self, images: Tensor, *second: Tensor, **named: Tensor) -> Any:
        """Outputs for images (B, C, H, W), and for further inputs with an entry for each image.

        Raises:
            TypeError: further inputs are missing.
            ValueError: the network takes whole numbers, and these are none.
        """
        session = self._session(images.device, self._precision(images))
        others = dict(zip((n for n in self.further if n not in named), second, strict=False))
        given = self._given(images, others | named)
        count = len(images)
        at_once = self.shapes[self.input][0] if self.shapes[self.input] else count
        at_once = at_once if isinstance(at_once, int) else count
        parts = [
            session.run(self.outputs, self._part(given, np.arange(first, first + at_once) % count))
            for first in range(0, count, at_once)
        ]
        found = [
            np.concatenate(each)[:count] if len(each) > 1 else each[0]
            for each in zip(*parts, strict=True)
        ]
        outputs = [_tensor(array).to(images.device) for array in found]
        return outputs[0] if len(outputs) == 1 else dict(zip(self.outputs, outputs, strict=True))

    def _given(self, images: Tensor, others: Mapping[str, Tensor]) -> dict[str, Array]:
        """Arrays for all inputs, each with an entry for every image."""
        missing = [key for key in self.further if key not in others]
        if missing:
            names = " and ".join(f"'{key}'" for key in missing)
            plural = "s" if len(missing) > 1 else ""
            raise TypeError(
                f"{self.name} missing {len(missing)} required positional argument{plural}: {names}"
            )
        given = {self.input: self._whole(images.detach().cpu().numpy())}
        for key, value in others.items():
            name = self.further[key]
            array = value.detach().cpu().numpy().astype(self.dtypes[name])
            given[name] = _shaped(array, self.shapes[name], images.shape)
        return given

    def _part(self, given: Mapping[str, Array], images: Sequence[int] | Array) -> dict[str, Array]:
        """The entries of some images; what has no axis for images is the same for all."""
        return {
            name: array[images] if self.shapes[name] else np.asarray(array[0])
            for name, array in given.items()
        }

    def _whole(self, images: Array) -> Array:
        """Images in the type of the network's input."""
        dtype = self.dtypes[self.input]
        if np.issubdtype(dtype, np.floating):
            return images.astype(dtype)
        info = np.iinfo(dtype)
        least, most = info.min, min(info.max, 255)
        if images.min() < max(least, 0) - 0.5 or not 1 < images.max() < most + 0.5:
            raise ValueError(f"{self.name} takes whole numbers from 0 to {most}")
        return images.round().clip(max(least, 0), most).astype(dtype)

    def _precision(self, images: Tensor) -> str:
        precision, dtype = current_precision(images), self.dtypes[self.input]
        own = _PRECISIONS.get(dtype, "fp32")
        if precision != own and not (precision == "tf32" and own == "fp32"):
            raise UsageError(
                f"{self.name} computes in {own} whatever is asked for, not in {precision}: take "
                f"--precision {own}"
            )
        return precision

    def _session(self, device: torch.device, precision: str) -> Any:
        key = str(device), "tf32" if precision == "tf32" else "ieee"
        if key not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 3
            self.sessions[key] = onnxruntime.InferenceSession(
                str(self.file), options, providers=self._providers(device, key[1])
            )
        return self.sessions[key]

    def _providers(self, device: torch.device, mode: str) -> list[Any]:
        if device.type == "cpu":
            return ["CPUExecutionProvider"]
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise UsageError(
                f"{self.name}: this onnxruntime has no CUDA provider; pip install onnxruntime-gpu, "
                "or take --device cpu"
            )
        chosen = {"device_id": device.index or 0, "use_tf32": int(mode == "tf32")}
        return [("CUDAExecutionProvider", chosen), "CPUExecutionProvider"]

    def _chosen(self, kind: str, found: Any, wanted: str | None) -> str:
        names = [each.name for each in found]
        images = [e.name for e in found if len(e.shape) == 4 and list(e.shape[2:]) != [1, 1]]
        if wanted is None and len(names) == 1:
            return str(names[0])
        if wanted is None and kind == "input" and len(images) == 1:
            return str(images[0])
        if wanted not in names:
            asked = f"no {kind} {wanted!r}" if wanted else f"several {kind}s"
            raise UsageError(
                f"{self.name} has {asked}: name one of {', '.join(names)} with {kind}=…"
            )
        return str(wanted)

    def _dtype(self, node: Any) -> Any:
        kind = node.type.removeprefix("tensor(").rstrip(")")
        if kind not in _DTYPES:
            raise UsageError(f"{self.name} takes {node.type} as {node.name}: export it with float")
        return _DTYPES[kind]


def _key(name: str) -> str:
    """An input's name as a key of an adapter can have it."""
    return name.replace("-", "_")


def _shaped(array: Array, wanted: Sequence[int | str], images: torch.Size) -> Array:
    """A further input (B, …) in the shape of a node, the axis of images first.

    What has other axes is repeated along them; an axis of free size is the image's, where it is
    one of four, or 1.
    """
    sizes = [
        size if isinstance(size, int) else images[axis] if len(wanted) == 4 and axis > 1 else 1
        for axis, size in enumerate(wanted)
    ]
    if array.ndim < len(wanted):
        array = array.reshape(*array.shape, *[1] * (len(wanted) - array.ndim))
    tail = [max(size, given) for size, given in zip(sizes[1:], array.shape[1:], strict=False)]
    return np.broadcast_to(array, (len(array), *tail)) if wanted else array


def _tensor(array: Array) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor if tensor.is_floating_point() else tensor.float()
