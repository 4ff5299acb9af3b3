"""A network and its metric, and processes that share the images: children import this file."""

import torch
import torch.distributed as dist
from lazy_imports import Lazy

__all__ = ["SHIFTS", "Network", "metric", "on_a_rank"]

integration = Lazy("equibench.integrations.torchmetrics")

SHIFTS = "random:n=3,max=8"


class Network(torch.nn.Module):
    """Zero-padded, with dropout that is off only in ``eval()``."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3, padding=1, stride=2), torch.nn.BatchNorm2d(2),
            torch.nn.Dropout(0.5), torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(2, 1, 1),
        )  # fmt: skip
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return self.layers(images)


def metric(name="nmse", statistic="mean", **options):
    return integration.ShiftConsistency(name, statistic, shifts=SHIFTS, precision="fp64", **options)


def on_a_rank(rank, world, file, images, queue):
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    torch.set_num_threads(1)
    for count in (5, 1):  # the second rank has one image fewer, or none at all
        metric_ = metric()
        for image in images[:count][rank::world]:
            metric_.update(Network(), image[None])
        queue.put((count, rank, metric_.compute().item(), len(metric_.values)))
    dist.barrier()
    dist.destroy_process_group()
