"""Hold proofs against brute force, on random small networks in float64.

    python tools/fuzz_proofs.py --networks 20000 --out results/proofs/fuzz.json --jobs 2

No proof may claim a shift that does not commute. Of the networks that brute force finds
equivariant, most should be proved. What is not counted among these is counted by its kind. The
file is written as the work goes on; the same command goes on after an interrupt.
"""

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).parent))

from random_networks import Network, random_network

from equibench.evidence.certificate import Proof
from equibench.evidence.proof import prove
from equibench.foundation.atomic_files import replacing
from equibench.models.polyphase import APSDown

__all__ = ["Verdict", "judged", "tally"]

Tally = dict[str, Any]
_KINDS = ("unproved", "not counted")

ROUNDING = 1e-16
"""NMSE in float64 that counts as rounding; one unit in the last place is 1e-32."""


@dataclass(frozen=True)
class Verdict:
    """A proof beside brute force.

    Args:
        found: the smallest (Sy, Sx) whose multiples commute on the images tried; None where the
            network does not run, or gives no map.
        false: shifts that a proof claims and that do not commute.
        other: why brute force says nothing: the output is flat, random, decided by rounding, or
            depends on the other images of the batch.
    """

    seed: int
    proof: Proof
    found: tuple[int, int] | None
    false: tuple[str, ...]
    other: str

    @property
    def equivariant(self) -> bool:
        """Along both axes, by more than whole turns."""
        size = self.proof.size
        return (
            self.found is not None
            and not self.other
            and all(s < n for s, n in zip(self.found, size, strict=True))
        )

    @property
    def proved(self) -> bool:
        return self.proof.proved and all(
            s < n for s, n in zip(self.proof.stride, self.proof.size, strict=True)
        )


def judged(seed: int) -> Verdict:
    """The proof of one random network, beside brute force."""
    network = random_network(seed)
    proof = prove(network, network.size, channels=2, label=f"network {seed}")
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 2, *network.size, generator=generator, dtype=torch.float64)
    try:
        trials = _Trials(network, images)
    except Exception:  # such a network is for the capture to refuse
        false = ("a network that does not run",) if proof.proved else ()
        return Verdict(seed, proof, None, false, "does not run")
    return Verdict(
        seed, proof, trials.stride(), tuple(_contradictions(proof, trials)), trials.other
    )


class _Trials:
    def __init__(self, network: Network, images: Tensor) -> None:
        self.network, self.images = network, images
        self.adaptive = [m for m in network.modules() if isinstance(m, APSDown)]
        for layer in self.adaptive:
            layer.record_choices = True
        self.output = self._run(images)
        self.scale = self.output.shape[-1] // images.shape[-1]
        if self.output.ndim != 4 or self.output.shape[2] != images.shape[2] * self.scale:
            raise ValueError("no map")
        self.tied = any(bool((m.gaps < 1e-9).any()) for m in self.adaptive if m.gaps is not None)
        self.other = self._other()

    def _other(self) -> str:
        if float(self.output.std(dim=(2, 3)).max()) < 1e-9:
            return "flat"
        if _error(self._run(self.images), self.output) > ROUNDING:
            return "random"
        for draw in range(8):  # what rounding decides cannot be held against exact arithmetic
            noise = torch.randn(self.images.shape, generator=torch.Generator().manual_seed(draw),
                                dtype=torch.float64)  # fmt: skip
            if _error(self._run(self.images * (1 + 1e-13 * noise)), self.output) > ROUNDING:
                return "rounding decides"
        # noise does not tell what is zero but for the order of a sum
        with _Margin() as decided:
            self._run(self.images)
        if decided.margin < 1e-12:
            return "rounding decides"
        for factor in (3, -3):
            beside = self.images.clone()
            beside[1] = factor * beside[1].abs() + beside[1]
            if _error(self._run(beside)[:1], self.output[:1]) > ROUNDING:
                return "depends on the batch"
        return ""

    def commutes(self, *shifts: tuple[int, int]) -> bool:
        """Whether shifts commute, each image of the batch by one of its own."""
        moved = torch.stack([
            x.roll(s, (-2, -1)) for x, s in zip(self.images, shifts, strict=True)
        ])  # fmt: skip
        output = self._run(moved)
        back = torch.stack([
            y.roll((-dy * self.scale, -dx * self.scale), (-2, -1))
            for y, (dy, dx) in zip(output, shifts, strict=True)
        ])  # fmt: skip
        return _error(back, self.output) <= ROUNDING

    def stride(self) -> tuple[int, int]:
        found = []
        for axis, n in enumerate(self.images.shape[-2:]):
            for d in (d for d in range(1, n + 1) if n % d == 0):
                if d == n or all(self.commutes(*pair) for pair in _along(axis, d, n)):
                    found.append(d)
                    break
        return found[0], found[1]

    def _run(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            output: Tensor = self.network(images.clone())
        return output


class _Margin(TorchDispatchMode):
    """By how much the closest comparison of a pass is decided, beside numbers of the size of 1."""

    margin = float("inf")
    comparisons: ClassVar = {*map(torch.ops.aten.__getattr__, ("gt", "lt", "ge", "le"))}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in self.comparisons:
            gaps = (args[0].double() - args[1]).abs()
            self.margin = min(self.margin, float(gaps.min()))
        return func(*args, **(kwargs or {}))


def _along(axis: int, d: int, n: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Multiples of d, each image of a batch by one of its own, every one of them in some batch."""
    moves = [(m, 0) if axis == 0 else (0, m) for m in range(0, n, d)]
    return list(zip(moves[1:], moves[-1:] + moves[:-2], strict=True))


def _error(output: Tensor, reference: Tensor) -> float:
    """NMSE."""
    return float((output - reference).square().sum() / reference.square().sum().clamp(min=1e-300))


def _contradictions(proof: Proof, trials: _Trials) -> Any:
    height, width = proof.size
    claims = [(proof.stride, "claimed")] if proof.stride != proof.size else []
    if claims and trials.other in ("random", "depends on the batch"):
        yield f"claimed of a network that is or does: {trials.other}"
    if proof.any_shift is not None and not trials.tied:
        claims.append((proof.any_shift, "claimed without ties"))
    if trials.other in ("rounding decides", "flat") or (trials.tied and proof.conditions):
        return
    for (sy, sx), kind in claims:
        down, across = max(1, height // sy - 1), max(1, width // sx - 1)
        for shifts in (
            ((sy, 0), (sy, 0)),
            ((0, sx), (0, sx)),
            ((sy * down, sx), (sy, sx * across)),
            ((0, 0), (sy, sx * across)),
        ):
            if not trials.commutes(*shifts):
                yield f"{kind}: {shifts}"


def tally(verdicts: Iterable[Verdict], before: Mapping[str, Any] | None = None) -> Iterator[Tally]:
    """Counts after every network, beginning with those that a tally before had."""
    counts = Counter[str]((before or {}).get("counts", {}))
    unproved, aside = (Counter[str]((before or {}).get(name, {})) for name in _KINDS)
    false = list((before or {}).get("false proofs", []))
    for verdict in verdicts:
        counts["networks"] += 1
        counts["claims"] += verdict.proof.stride != verdict.proof.size
        if verdict.false:
            false.append({"seed": verdict.seed, "shifts": verdict.false})
        if verdict.equivariant:
            counts["equivariant"] += 1
            counts["proved"] += verdict.proved
            counts["tight"] += verdict.proved and verdict.proof.stride == verdict.found
            if not verdict.proved:
                reason = str(next(iter(verdict.proof.obstacles.values()), "stride"))
                unproved[reason.partition(" (at")[0]] += 1
        elif verdict.other:
            aside[verdict.other] += 1
        else:
            aside["not equivariant"] += 1
        yield {
            "counts": dict(counts),
            "share": counts["proved"] / max(1, counts["equivariant"]),
            "false proofs": false,
            "unproved": dict(unproved.most_common()),
            "not counted": dict(aside.most_common()),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold proofs against brute force.")
    parser.add_argument("--networks", type=int, default=1000, help="seeds 0 … N − 1")
    parser.add_argument("--out", type=Path, help="a JSON file; one that exists is gone on with")
    parser.add_argument("--jobs", type=int, default=1, help="networks side by side, a core each")
    options = parser.parse_args()
    out: Path | None = options.out
    before = json.loads(out.read_text()) if out and out.exists() else None
    first = before["counts"]["networks"] if before else 0
    found: Tally = before or {}
    with Pool(options.jobs, _alone) as pool:
        verdicts = pool.imap(judged, range(first, options.networks), chunksize=10)
        for found in tally(verdicts, before):
            done = found["counts"]["networks"]
            if done % 100 == 0 or done == options.networks:
                print(done, f"{found['share']:.4f}", len(found["false proofs"]), flush=True)
                if out:
                    with replacing(out) as temporary:
                        temporary.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def _alone() -> None:
    """One of several processes, each on a core."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
