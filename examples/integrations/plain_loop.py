"""A loop of plain PyTorch that logs how consistent its network is, and trains that as well."""

import torch

import equibench as eb

network = torch.nn.Sequential(
    torch.nn.Conv2d(1, 8, 3, padding=1, stride=2), torch.nn.ConvTranspose2d(8, 1, 2, stride=2)
)
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
images = torch.nn.functional.avg_pool2d(torch.randn(8, 1, 36, 36), 5, 1)
for epoch in range(4):
    output = network(images)
    loss = (output - images).square().mean()
    loss = loss + 0.1 * eb.shift_consistency_loss(network, images, output=output)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(epoch, eb.shift_consistency(network, images, limit=2)["eq_nmse_mean"])
