"""Networks of unusual numbers: random, complex, sparse, quantised; and those that set switches."""

import logging
import os
import random
import time
import warnings

import numpy as np
import torch
from torch import nn
from zoo.entry import broken, circular, exact, measured, refused, zero_padded


class After(nn.Module):
    """A circular convolution, after something else has been done."""

    def __init__(self, act=None):
        super().__init__()
        self.conv, self.act = circular(), act

    def forward(self, x):
        if self.act is not None:
            self.act()
        return self.conv(x)


@measured(alike=False)
def random_noise():
    class Noisy(After):
        def forward(self, x):
            return self.conv(x) + torch.randn_like(x)

    return Noisy()


@measured(alike=False)
def numpy_noise():
    class Noisy(After):
        def forward(self, x):
            return self.conv(x) * np.random.random()  # noqa: NPY002

    return Noisy()


@measured(alike=False)
def noise_of_the_standard_library():
    class Noisy(After):
        def forward(self, x):
            return self.conv(x) * random.random()

    return Noisy()


@measured(alike=False)
def noise_of_its_own_generator():
    class Noisy(After):
        def __init__(self):
            super().__init__()
            self.generator = torch.Generator().manual_seed(0)

        def forward(self, x):
            return self.conv(x) + torch.randn(x.shape, generator=self.generator)

    return Noisy()


@measured(alike=False)
def noise_of_its_own_numpy_generator():
    class Noisy(After):
        def __init__(self):
            super().__init__()
            self.generator = np.random.default_rng(0)

        def forward(self, x):
            return self.conv(x) * self.generator.random()

    return Noisy()


@measured(alike=False)
def dropout_at_test_time():
    class Dropping(After):
        def forward(self, x):
            return nn.functional.dropout(self.conv(x), 0.5, training=True)

    return Dropping()


@broken()
def seeds_the_generator():
    class Seeding(After):
        def forward(self, x):
            torch.manual_seed(0)
            return self.conv(x) + torch.randn(16, 16)

    return Seeding()


@exact()
def complex_weights():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1 + 2j]))

        def forward(self, x):
            return (x * self.weight).abs()

    return Complex()


@exact()
def fourier():
    class Fourier(nn.Module):
        def __init__(self):
            super().__init__()
            self.filter = nn.Parameter(torch.linspace(1, 0, 9).expand(16, 9).clone())

        def forward(self, x):
            return torch.fft.irfft2(torch.fft.rfft2(x) * self.filter)

    return Fourier()


@exact()
def sparse_buffer():
    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", (2 * torch.eye(16)).to_sparse())

        def forward(self, x):
            return torch.stack([torch.sparse.mm(self.scale, image[0])[None] for image in x])

    return Sparse()


@exact()
def sparse_weights():
    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            matrix = torch.eye(16).roll(1, 0) + torch.eye(16)
            self.weight = nn.Parameter(matrix.to_sparse())

        def forward(self, x):
            return torch.stack([torch.sparse.mm(self.weight, image[0])[None] for image in x])

    return Sparse()


@exact()
def sparse_rows():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = circular()
        network.register_buffer("rows", torch.eye(3).to_sparse_csr())
        return network


@measured()
def quantised_weights():
    class Quantised(nn.Module):
        def __init__(self):
            super().__init__()
            weight = circular().weight.detach()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated; such networks will be around
                weight = torch.quantize_per_tensor(weight, 0.05, 0, torch.qint8)
            self.register_buffer("weight", weight)

        def forward(self, x):
            x = nn.functional.pad(x, (1, 1, 1, 1), mode="circular")
            return nn.functional.conv2d(x, self.weight.dequantize())

    return Quantised()


@exact()
def weights_of_bytes():
    class Bytes(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.tensor([3], dtype=torch.uint8))
            self.register_buffer("none", None)
            self.register_buffer("flag", torch.tensor(True))

        def forward(self, x):
            return x * self.weight.float() if self.flag else x

    return Bytes()


@exact()
def weights_of_eight_bits():
    network = circular()
    network.register_buffer("small", torch.ones(3).to(torch.float8_e4m3fn))
    return network


@exact()
def empty_parameter():
    network = circular()
    network.none = nn.Parameter(torch.empty(0))
    network.scale = nn.Parameter(torch.tensor(1.0))
    return network


@exact()
def enormous_expanded_buffer():
    network = circular()
    network.register_buffer("wide", torch.zeros(()).expand(2**40))
    return network


@measured()
def autocast_inside():
    class Autocast(After):
        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.conv(x)

    return Autocast()


@exact()
def device_inside():
    class Here(After):
        def forward(self, x):
            return self.conv(x.to("cpu")).cpu()

    return Here()


@exact()
def double_precision_inside():
    class Precise(After):
        def __init__(self):
            super().__init__()
            self.conv.double()

        def forward(self, x):
            return self.conv(x.double()).float()

    return Precise()


@exact()
def slow():
    return After(lambda: time.sleep(0.001))


@exact()
def prints():
    return After(lambda: print("a line"))


@exact()
def logs():
    return After(lambda: logging.getLogger("zoo").debug("a line"))


@exact()
def warns():
    def act():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.warn("mind this", stacklevel=1)

    return After(act)


@exact()
def sets_the_default_dtype():
    return After(lambda: torch.set_default_dtype(torch.float64))


@exact()
def sets_the_number_of_threads():
    return After(lambda: torch.set_num_threads(3))


@exact()
def sets_grad_mode():
    return After(lambda: torch.set_grad_enabled(True))


@exact()
def sets_determinism():
    return After(lambda: torch.use_deterministic_algorithms(True, warn_only=True))


@measured()
def sets_tf32():
    def act():
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.deterministic = False

    return After(act)


@exact()
def sets_numpy_errors():
    return After(lambda: np.seterr(all="raise"))


@exact()
def changes_the_folder():
    return After(lambda: os.chdir("/"))


@exact()
def changes_the_environment():
    return After(lambda: os.environ.__setitem__("EQUIBENCH_ZOO", "1"))


@exact()
def even_stride_that_restores():
    class Restored(nn.Module):
        def forward(self, x):
            return nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(x, 2), 2)

    return Restored()


@broken()
def max_pooling():
    return nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2))


@broken()
def absolute_positions():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions = nn.Parameter(torch.linspace(0, 3, 256).view(1, 1, 16, 16))

        def forward(self, x):
            return x + self.positions

    return Positions()


@broken()
def sampling_grid():
    class Sampling(nn.Module):
        def forward(self, x):
            theta = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]]).expand(len(x), -1, -1)
            grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
            return nn.functional.grid_sample(x, grid, align_corners=False)

    return Sampling()


@exact()
def attention_without_positions():
    class Attention(nn.Module):
        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
            return mixed.transpose(1, 2).view_as(x)

    return Attention()


@exact()
def depends_on_its_batch():
    class Batchwise(After):
        def forward(self, x):
            return self.conv(x) + 0 * x.mean()

    return Batchwise()


@measured(alike=False)
def normalises_over_the_batch():
    class Batchwise(After):
        def forward(self, x):
            y = self.conv(x)
            return (y - y.mean()) / y.std()

    return Batchwise()


@measured()
def chaotic():
    class Chaotic(nn.Module):
        def forward(self, x):
            x = x.sigmoid()
            for _ in range(50):
                x = 3.9 * x * (1 - x)
            return x

    return Chaotic()


@broken()
def zero_padding_in_double():
    return nn.Sequential(zero_padded(), nn.Identity())


@refused("RuntimeError|dtype|type")
def bfloat_weights():
    return circular().bfloat16()
