"""A metric of torchmetrics, updated batch by batch; two statistics share their passes."""

import torch
from torchmetrics import MetricCollection

from equibench.integrations.torchmetrics import ShiftConsistency

network = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3, padding=1, stride=2), torch.nn.ConvTranspose2d(4, 1, 2, stride=2)
)
mean, worst = ShiftConsistency("nmse", "mean"), ShiftConsistency("nmse", "worst")
metrics = MetricCollection({"mean": mean, "worst": worst})
for images in torch.randn(3, 2, 1, 32, 32):
    metrics.update(network, images)
for name, value in metrics.compute().items():
    print(f"{name} NMSE under shifts: {value:.2e}")
