"""An ONNX network as a callable on tensors."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from equibench.errors import UsageError
from equibench.inference.precision import current_precision

__all__ = ["OnnxNetwork"]

_DTYPES = {"tensor(float)": "fp32", "tensor(double)": "fp64", "tensor(float16)": "fp16"}


class OnnxNetwork:
    """Images (B, C, H, W) to the output of an ONNX network, on their device.

    A session is made for each device and precision that is met. The network computes in the
    precision that it was exported in: another one is refused. TF32 is off unless asked for.

    Args:
        input, output: their names; by default the only input, and all outputs.

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
        self.input = self._chosen("input", session.get_inputs(), input)
        names = [each.name for each in session.get_outputs()]
        self.outputs = [self._chosen("output", session.get_outputs(), output)] if output else names
        self.dtype = next(each.type for each in session.get_inputs() if each.name == self.input)

    def __call__(self, images: Tensor) -> Any:
        precision = current_precision(images)
        own = _DTYPES.get(self.dtype, self.dtype)
        if precision != own and not (precision == "tf32" and own == "fp32"):
            raise UsageError(
                f"{self.name} computes in {own} whatever is asked for, not in {precision}: take "
                f"--precision {own}"
            )
        session = self._session(images.device, precision)
        array = images.detach().cpu().numpy()
        found = session.run(self.outputs, {self.input: array})
        outputs = [torch.from_numpy(np.ascontiguousarray(a)).to(images.device) for a in found]
        return outputs[0] if len(outputs) == 1 else dict(zip(self.outputs, outputs, strict=True))

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
        if wanted is None and len(names) == 1:
            return str(names[0])
        if wanted not in names:
            asked = f"no {kind} {wanted!r}" if wanted else f"several {kind}s"
            raise UsageError(
                f"{self.name} has {asked}: name one of {', '.join(names)} with {kind}=…"
            )
        return str(wanted)
