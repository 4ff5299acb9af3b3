"""Trained networks of other people, each from the weights that fetch.py has fetched.

A factory gives a callable from RGB (B, 3, H, W), in the range that the ``adapters`` of
networks.toml make of a suite's images; what comes out stands there as well. Networks that another
runtime than PyTorch computes are ``Foreign``: they take an image at a time, on a CPU.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fetch import networks, weights
from torch import Tensor, nn

from equibench.errors import UsageError
from equibench.models.onnx_session import OnnxNetwork


def text() -> OnnxNetwork:
    """Probability of text (B, 1, H, W), by PP-OCRv4."""
    return OnnxNetwork(*weights("text"))


def text_v6() -> OnnxNetwork:
    """Probability of text (B, 1, H, W), by PP-OCRv6."""
    return OnnxNetwork(*weights("text-v6"))


class Foreign:
    """A network of another runtime; the file of its weights identifies it."""

    thread_safe = False
    outlives_calls = True

    def __init__(self, name: str) -> None:
        self.file, *self.further = weights(name)
        needs = networks()[name].needs
        self.runtime = runtime(name, needs) if needs else None

    def __call__(self, images: Tensor) -> Tensor:
        found = [self.image(image[None].detach().cpu().float()) for image in images]
        return torch.cat(found).to(images.device)

    def image(self, image: Tensor) -> Tensor:
        """The output (1, C', H, W) of one image (1, 3, H, W)."""
        raise NotImplementedError


def runtime(name: str, package: str) -> Any:
    """The module that runs the weights of a network.

    Raises:
        UsageError: its package is not installed.
    """
    module = {"ai-edge-litert": "ai_edge_litert.interpreter"}.get(package, package)
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(f"{name} needs {package}: pip install {package}") from None


class Watermark(OnnxNetwork):
    """The image with 32 bits in it, every other one set; takes and gives (B, 3, H, W) in 0..1."""

    def __init__(self) -> None:
        super().__init__(*weights("watermark"), input="frame")
        self.bits = torch.arange(32) % 2.0

    def __call__(self, images: Tensor) -> Tensor:
        bits = self.bits.expand(len(images), -1)
        return super().__call__(2 * images[:, :, None] - 1, data=bits)[:, :, 0] / 2 + 0.5


class Foreground(Foreign):
    """Opacity of the foreground (B, 1, H, W), by IS-Net.

    Its decoder resizes to sizes that were written down for 1024 by 1024: they are written anew
    for the size of the images, a session for each.
    """

    def __init__(self) -> None:
        super().__init__("foreground")
        self.sessions: dict[tuple[int, ...], Any] = {}

    def image(self, image: Tensor) -> Tensor:
        size = tuple(image.shape[2:])
        if size not in self.sessions:
            self.sessions[size] = self._session(size)
        return torch.from_numpy(self.sessions[size].run(["output"], {"input": image.numpy()})[0])

    def _session(self, size: tuple[int, ...]) -> Any:
        import onnxruntime

        model = self.runtime.load(self.file)
        array = self.runtime.numpy_helper
        made_by = {name: node for node in model.graph.node for name in node.output}
        for node in model.graph.node:
            if node.op_type == "Resize":
                sides = made_by[made_by[node.input[3]].input[1]].attribute[0].t
                sides.CopyFrom(array.from_array(array.to_array(sides) * np.array(size) // 1024))
        del model.graph.value_info[:], model.graph.output[1:]  # sizes, and maps of deeper stages
        for value in (*model.graph.input, *model.graph.output):
            for axis in value.type.tensor_type.shape.dim:
                axis.ClearField("dim_value")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


class People(Foreign):
    """Probability of a person (B, 1, H, W): images are brought to 256 by 256, and masks back."""

    def __init__(self) -> None:
        super().__init__("people")
        self.network = self.runtime.Interpreter(str(self.file), num_threads=1)
        self.network.allocate_tensors()
        (self.given,) = self.network.get_input_details()
        (self.found,) = self.network.get_output_details()

    def image(self, image: Tensor) -> Tensor:
        given = F.interpolate(image, (256, 256), mode="bilinear").permute(0, 2, 3, 1)
        self.network.set_tensor(self.given["index"], given.contiguous().numpy())
        self.network.invoke()
        found = torch.from_numpy(self.network.get_tensor(self.found["index"]))
        return F.interpolate(found.permute(0, 3, 1, 2), image.shape[2:], mode="bilinear")


class Denoiser(Foreign):
    """The image without its noise, (B, 3, H, W) in 0..1; sides are a multiple of 4."""

    margin = 28
    """Of each side: its convolutions are not padded."""

    def __init__(self) -> None:
        super().__init__("denoiser")
        self.network = self.runtime.Net()
        options = self.network.opt
        options.num_threads = 1
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        self.network.load_param(str(self.further[0]))
        self.network.load_model(str(self.file))

    def image(self, image: Tensor) -> Tensor:
        given = F.pad(image, (self.margin,) * 4, mode="replicate")[0].contiguous().numpy()
        computation = self.network.create_extractor()
        computation.input("Input1", self.runtime.Mat(given))
        _, found = computation.extract("Eltwise4")
        return torch.from_numpy(np.array(found))[None]


class Edges(nn.Module):
    """Probability of an edge (B, 1, H, W), of five stages of VGG-16 put together."""

    depths = (2, 2, 3, 3, 3)
    mean = (104.00699, 116.66877, 122.67892)

    def __init__(self) -> None:
        super().__init__()
        (file,) = weights("edges")
        with runtime("edges", "h5py").File(file) as stored:
            self.stages = nn.ModuleList(
                nn.ModuleList(
                    _convolution(stored[f"block{stage}/layers/conv2d{f'_{n}' if n else ''}/vars"])
                    for n in range(depth)
                )
                for stage, depth in enumerate(self.depths, 1)
            )
            self.sides = nn.ModuleList(
                _convolution(stored[f"dsn{stage}/vars"]) for stage in range(1, 6)
            )
            self.fuse = _convolution(stored["fuse/vars"])

    def forward(self, images: Tensor) -> Tensor:
        maps = 255 * images.flip(1) - images.new_tensor(self.mean).view(1, 3, 1, 1)
        found = []
        for stage, side in zip(self.stages, self.sides, strict=True):
            maps = F.max_pool2d(maps, 2) if found else maps
            for convolution in stage:
                maps = convolution(maps).relu()
            found.append(F.interpolate(side(maps), images.shape[2:], mode="bilinear"))
        return self.fuse(torch.cat(found, 1)).sigmoid()


def _convolution(stored: Any) -> nn.Conv2d:
    """One with the kernel (h, w, in, out) and the bias of Keras, padded to keep the size."""
    kernel, bias = (torch.from_numpy(np.array(stored[name])) for name in ("0", "1"))
    height, _, given, found = kernel.shape
    convolution = nn.Conv2d(given, found, height, padding=height // 2)
    with torch.no_grad():
        convolution.weight.copy_(kernel.permute(3, 2, 0, 1))
        convolution.bias.copy_(bias)
    return convolution


class Faces(nn.Module):
    """Probability of a face for every second pixel, (B, 1, H/2, W/2).

    The network is not padded, and an output sees 12 by 12 pixels: a margin of 5 centres them.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 10, 16, 32)
        for n in (1, 2, 3):
            setattr(self, f"conv{n}", nn.Conv2d(channels[n - 1], channels[n], 3))
            setattr(self, f"prelu{n}", nn.PReLU(channels[n]))
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)
        (file,) = weights("faces")
        self.load_state_dict(torch.load(file, weights_only=True))

    def forward(self, images: Tensor) -> Tensor:
        maps = F.pad((255 * images - 127.5) / 128, (5, 5, 5, 5))
        maps = F.max_pool2d(self.prelu1(self.conv1(maps)), 2, ceil_mode=True)
        maps = self.prelu3(self.conv3(self.prelu2(self.conv2(maps))))
        return self.conv4_1(maps).softmax(1)[:, 1:]


class Upscaler(nn.Module):
    """The image at twice its size, (B, 3, 2H, 2W) in 0..1: layers of Keras in their order."""

    def __init__(self) -> None:
        super().__init__()
        stored, described = weights("upscaler")
        content = json.loads(described.read_text("utf-8"))
        self.layers = content["modelTopology"]["model_config"]["config"]["layers"]
        arrays = _arrays(stored, content["weightsManifest"][0]["weights"])
        self.convolutions = nn.ModuleDict(
            {
                name: _convolution({"0": arrays[f"{name}/kernel"], "1": arrays[f"{name}/bias"]})
                for name in (each["name"] for each in self.layers if each["class_name"] == "Conv2D")
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        maps: dict[str, Tensor] = {}
        found = 255 * images
        for layer in self.layers:
            name, kind = layer["name"], layer["class_name"]
            given = [maps[node[0]] for nodes in layer["inbound_nodes"] for node in nodes]
            if kind == "Conv2D":
                found = self.convolutions[name](given[0])
            elif kind == "Activation":
                found = given[0].relu()
            elif kind == "Concatenate":
                found = torch.cat(given, 1)
            elif kind == "Add":
                found = given[0] + given[1]
            elif kind == "UpSampling2D":
                found = F.interpolate(given[0], scale_factor=2)
            elif kind != "InputLayer":
                raise ValueError(f"upscaler: no layer {kind} is known")
            maps[name] = found
        return found / 255


def _arrays(file: Path, described: list[dict[str, Any]]) -> dict[str, Any]:
    """The arrays that a file holds one after the other, by name."""
    values, found = np.fromfile(file, np.float32), {}
    for each in described:
        size = int(np.prod(each["shape"]))
        found[each["name"]] = values[:size].reshape(each["shape"])
        values = values[size:]
    return found
