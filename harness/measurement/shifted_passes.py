"""One image under many shifts, in batches of one shape."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from equibench.inference.forward_pass import call
from equibench.transforms.circular_shift import align, roll
from equibench.transforms.transform import Size

__all__ = ["filled", "shifted_outputs"]


def filled(number: int, batch: int) -> Tensor:
    """Which images a batch holds that has more slots than images: they repeat, (batch,).

    One batch shape throughout: another would give other bits.
    """
    return torch.arange(batch) % number


def shifted_outputs(
    model: Callable[[Tensor], Tensor],
    image: Tensor,
    shifts: Sequence[Size],
    batch: int,
    label: str,
    place: str,
) -> Iterator[Tensor]:
    """Outputs (n, C', *size) of each batch in float64, rolled back; the last one may be shorter.

    Args:
        image: (1, C, *size); outputs are as large, or larger by a factor.
        shifts: in pixels along each axis.
        label, place: what messages call the model, and the image.

    Raises:
        ModelError: as ``call`` raises it.
    """
    for first in range(0, len(shifts), batch):
        part = torch.tensor(shifts[first : first + batch])
        each = part[filled(len(part), batch)]
        images = roll(image.expand(batch, *image.shape[1:]), each)
        raw = call(model, images, label, place)
        yield align(raw, each, images)[: len(part)].to(torch.float64)
