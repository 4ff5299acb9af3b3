"""The equivariance error as a loss, for those who want to train it away."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from equibench.errors import UsageError
from equibench.transforms.circular_shift import align, roll

__all__ = ["shift_consistency_loss"]


def shift_consistency_loss(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    output: Tensor | None = None,
    max_shift: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The mean NMSE ‖T₋ₖ G(Tₖ x) − G(x)‖² / ‖G(x)‖² of a batch under random circular shifts.

    Each image is shifted by one k of its own. All shifts of up to ``max_shift`` pixels along each
    axis are equally likely, but for none at all, which is never drawn; draws are made anew in
    every call. The gradient flows through both terms and the norm, so that what is minimised is
    what ``evaluate`` measures as ``eq_nmse``, and cannot be made small by small outputs. In
    ``train()`` mode whatever makes a network random (dropout) counts as an error.

    Args:
        model: any differentiable callable from (B, C, *size) to (B, C', s·*size).
        images: (B, C, *size).
        output: G(x), where the training step has it already; it saves one of two passes.
        max_shift: in pixels; None for all shifts that an image has.
        generator: of the shifts, on the CPU; PyTorch's default one otherwise.

    Returns:
        A scalar; 0 for a network that commutes with shifts. Where G(x) is zero, its norm counts
        as one rounding of the output's type.

    Raises:
        UsageError: images of one pixel, a ``max_shift`` below 1, or outputs whose size is no
            multiple of their images'.
    """
    shifts = _draw(images, max_shift, generator)
    reference = model(images) if output is None else output
    if any(m % n for m, n in zip(reference.shape[2:], images.shape[2:], strict=True)):
        size, other = ("×".join(map(str, t.shape[2:])) for t in (reference, images))
        raise UsageError(
            f"outputs of {size} pixels cannot be shifted back for images of {other}: take a "
            "network whose outputs have their images' size, or a multiple of it"
        )
    error = align(model(roll(images, shifts)), shifts, images) - reference
    energy = _energy(reference)
    # not a least energy: small outputs would make the loss small
    energy = energy.where(energy > 0, torch.finfo(reference.dtype).eps)
    return (_energy(error) / energy).mean()


def _draw(images: Tensor, most: int | None, generator: torch.Generator | None) -> Tensor:
    """One shift (B, axes) for each image, uniform over all but the identity."""
    size = images.shape[2:]
    if most is not None and most < 1:
        raise UsageError(f"max_shift={most} leaves no shift: take 1 or more")
    spans: list[int] = [n if most is None else min(n, 2 * most + 1) for n in size]
    count = int(torch.tensor(spans).prod())
    if count < 2:
        raise UsageError(f"images of {'×'.join(map(str, size))} pixels have no shifts")
    options: dict[str, Any] = {"generator": generator}
    # counted from the identity on, which is the only one left out
    number = torch.randint(1, count, (len(images),), **options)
    shifts = []
    for span in reversed(spans):
        shifts.append((number + span // 2) % span - span // 2)
        number = number // span
    return torch.stack(shifts[::-1], dim=1).to(images.device)


def _energy(images: Tensor) -> Tensor:
    """The sum of squares of each image, (B,), in float32 at least."""
    wide = torch.promote_types(images.dtype, torch.float32)
    return images.to(wide).flatten(1).square().sum(dim=1)
