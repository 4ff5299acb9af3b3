"""Which of the networks that come with equibench are proved, and what stands in the way of others.

    python tools/prove_networks.py --out results/proofs/networks.csv

Networks that the file has are not measured again: delete it to start anew.

Each is read as it is, and with every convolution and pooling padded circularly; beside that stands
how long a proof takes, and how long ten forward passes of one image.
"""

import argparse
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

import equibench as eb
from equibench.evidence.certificate import Proof

__all__ = ["NETWORKS", "circular", "proofs_table"]

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "results/proofs/networks.csv"

NETWORKS = {
    **dict.fromkeys(("unet-lpf-3", "unet-aps-3", "smp-unet", "timm-unet", "smp-segformer"), 320),
    **dict.fromkeys(("deepinv-drunet", "deepinv-unet", "monai-unet"), 320),
    "monai-swin-unetr": 224,  # whose windows of seven divide every level
    **dict.fromkeys(("unet-baseline", "unet-aps"), 64),
    **dict.fromkeys(("smp-linknet", "smp-unetplusplus", "smp-fpn", "smp-deeplabv3"), 128),
    **dict.fromkeys(("monai-basic-unet", "monai-attention-unet", "deepinv-dncnn"), 128),
    **dict.fromkeys(("timm-unet,encoder=convnext_atto", "smp-upernet"), 128),
}
"""The sizes at which they are read, in pixels."""


class _CircularPooling(nn.Module):
    def __init__(self, pooling: Any) -> None:
        super().__init__()
        self.padding, pooling.padding = pooling.padding, 0
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.pooling(functional.pad(x, 4 * [self.padding], mode="circular"))
        return pooled


def circular(network: nn.Module) -> nn.Module:
    """The network with circular padding in every convolution and pooling that pads."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d) and module.padding_mode == "zeros":
            module.padding_mode = "circular"
            if not isinstance(module.padding, str):  # it may have been changed after it was built
                module._reversed_padding_repeated_twice = [
                    n for n in reversed(module.padding) for _ in range(2)
                ]
        for name, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool2d | nn.AvgPool2d) and child.padding:
                setattr(module, name, _CircularPooling(child))
    return network


def _reason(proof: Proof) -> str:
    obstacle = next(iter(proof.obstacles.values()), None)
    if obstacle is None:
        return ""
    return f"{obstacle.operator or 'the network'} {obstacle.reason}"


def measured(spec: str, size: int) -> dict[str, Any]:
    """A line: the proofs of one network, and their time."""
    network: Any = eb.load_model(spec)
    plain = eb.prove(network, size)
    network = circular(network)
    begin = perf_counter()
    proof = eb.prove(network, size)
    seconds = perf_counter() - begin
    image = torch.zeros(1, 1, size, size)
    try:
        with torch.inference_mode():
            network.eval()(image)
            begin = perf_counter()
            network(image)
            forward = perf_counter() - begin
    except (RuntimeError, ValueError):  # circular padding wraps around once at most
        forward = float("nan")
    return {
        "network": spec, "size": size, "proved": plain.proved,
        "stride": plain.stride[0] if plain.proved else pd.NA, "reason": _reason(plain),
        "circular": proof.proved, "circular_stride": proof.stride[0] if proof.proved else pd.NA,
        "circular_reason": _reason(proof), "conditions": "; ".join(proof.conditions),
        "proof_seconds": round(seconds, 3), "ten_forwards": round(10 * forward, 3),
    }  # fmt: skip


def proofs_table(figures: pd.DataFrame) -> str:
    """What docs/proof.md shows of them."""
    lines = ["| network | size | as it is | padded circularly | proof | ten passes |",
             "|---|---|---|---|---|---|"]  # fmt: skip

    def said(line: Any, holds: str, stride: str, reason: str) -> str:
        if not line[holds]:
            return str(line[reason]).replace("|", r"\|")
        return f"proved, stride {int(line[stride])}"

    for _, line in figures.iterrows():
        plain = said(line, "proved", "stride", "reason")
        padded = said(line, "circular", "circular_stride", "circular_reason")
        if line["proved"]:
            padded = "the same"
        lines.append(
            f"| `{line['network']}` | {line['size']} | {plain} | {padded} | "
            f"{line['proof_seconds']:.1f} s | {line['ten_forwards']:.1f} s |".replace("nan s", "–")
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIGURES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = pd.read_csv(options.out).to_dict("records") if options.out.exists() else []
    for spec, size in NETWORKS.items():
        if spec not in {line["network"] for line in lines}:
            lines.append(measured(spec, size))
            pd.DataFrame(lines).to_csv(options.out, index=False)
    print(proofs_table(pd.read_csv(options.out)))


if __name__ == "__main__":
    main()
