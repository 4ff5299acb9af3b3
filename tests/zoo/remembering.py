"""Networks that keep, change or count something while they compute."""

import functools

import torch
from torch import nn
from zoo.entry import circular, exact, measured


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = circular()


@exact()
def in_place_on_its_input():
    class InPlace(Around):
        def forward(self, x):
            return self.conv(x.mul_(2))

    return InPlace()


@exact()
def in_place_activation_first():
    return nn.Sequential(nn.ReLU(inplace=True), circular())


@exact()
def overwrites_its_input_with_zeros():
    class Zeroing(Around):
        def forward(self, x):
            y = self.conv(x)
            x.data.zero_()
            return y

    return Zeroing()


@exact()
def resizes_its_input():
    class Resizing(Around):
        def forward(self, x):
            y = self.conv(x)
            x.resize_(0)
            return y

    return Resizing()


@exact()
def returns_its_input():
    class Same(nn.Module):
        def forward(self, x):
            return x

    return Same()


@exact()
def returns_a_view_of_its_input():
    class View(nn.Module):
        def forward(self, x):
            return x.transpose(2, 3).transpose(2, 3)

    return View()


@exact()
def reuses_its_output_buffer():
    class Reusing(Around):
        def __init__(self):
            super().__init__()
            self.out = None

        def forward(self, x):
            if self.out is None or self.out.shape != x.shape:
                self.out = torch.empty_like(x)
            self.out.copy_(self.conv(x))
            return self.out

    return Reusing()


@exact()
def returns_its_buffer():
    class Buffered(Around):
        def __init__(self):
            super().__init__()
            self.register_buffer("out", torch.zeros(2, 1, 16, 16))

        def forward(self, x):
            return self.out.copy_(self.conv(x))

    return Buffered()


@exact()
def keeps_its_input():
    class Keeping(Around):
        kept = None

        def forward(self, x):
            self.kept = x
            return self.conv(self.kept)

    return Keeping()


@exact()
def cache_by_size():
    class Caching(Around):
        def __init__(self):
            super().__init__()
            self.cache = {}

        def forward(self, x):
            size = tuple(x.shape[-2:])
            if size not in self.cache:
                self.cache[size] = torch.ones(size)
            return self.conv(x) * self.cache[size]

    return Caching()


@exact()
def cached_property():
    class Lazily(Around):
        @functools.cached_property
        def factor(self):
            return self.conv.weight.sum()

        def forward(self, x):
            return self.conv(x) * self.factor

    return Lazily()


@exact()
def cached_method():
    class Cached(Around):
        @functools.lru_cache  # noqa: B019
        def ones(self, size):
            return torch.ones(size)

        def forward(self, x):
            return self.conv(x) * self.ones(x.shape[-2:])

    return Cached()


@exact()
def log_that_grows():
    class Logging(Around):
        def __init__(self):
            super().__init__()
            self.log = []

        def forward(self, x):
            self.log.append(x.mean())
            return self.conv(x)

    return Logging()


@exact()
def buffer_made_in_forward():
    class Making(Around):
        def forward(self, x):
            self.register_buffer("made", torch.ones(1))
            return self.conv(x) * self.made

    return Making()


@exact()
def layer_made_in_forward():
    class Making(nn.Module):
        def forward(self, x):
            if not hasattr(self, "conv"):
                self.conv = circular()
            return self.conv(x)

    return Making()


@exact()
def parameter_replaced_in_forward():
    class Replacing(Around):
        def forward(self, x):
            self.conv.bias = nn.Parameter(torch.ones(1))
            return self.conv(x)

    return Replacing()


@exact()
def layer_deleted_in_forward():
    class Deleting(Around):
        def __init__(self):
            super().__init__()
            self.warm_up = nn.Identity()

        def forward(self, x):
            if hasattr(self, "warm_up"):
                del self.warm_up
            return self.conv(x)

    return Deleting()


@exact()
def hook_registered_in_forward():
    class Hooking(Around):
        def forward(self, x):
            self.conv.register_forward_hook(lambda *given: None)
            return self.conv(x)

    return Hooking()


@exact()
def lazy_convolution():
    return nn.Sequential(nn.LazyConv2d(1, 3, padding=1, padding_mode="circular"), nn.ReLU())


@exact()
def lazy_norm():
    return nn.Sequential(circular(), nn.LazyBatchNorm2d())


@exact()
def lazy_parameter():
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.UninitializedParameter()

        def forward(self, x):
            if isinstance(self.weight, nn.UninitializedParameter):
                self.weight.materialize((x.shape[1], 1, 1))
                nn.init.ones_(self.weight)
            return x * self.weight

    return Lazy()


@measured(alike=False)
def counts_its_calls():
    class Counting(Around):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return self.conv(x) * self.calls

    return Counting()


@measured(alike=False)
def counts_in_a_buffer():
    class Counting(Around):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return self.conv(x) * self.calls

    return Counting()


@measured(alike=False)
def changes_its_weights():
    class Drifting(Around):
        def forward(self, x):
            self.conv.weight.data.mul_(1.01)
            return self.conv(x)

    return Drifting()


@measured(alike=False)
def running_mean():
    class Mean(Around):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, x):
            self.mean.lerp_(x.mean(), 0.1)
            return self.conv(x) - self.mean

    return Mean()


@measured(alike=False)
def depends_on_the_image_before():
    class Recurrent(Around):
        before = None

        def forward(self, x):
            before, self.before = self.before, x
            return self.conv(x if before is None else x + before)

    return Recurrent()


@exact()
def norm_left_in_training():
    return nn.Sequential(circular(), nn.BatchNorm2d(1)).train()


@exact()
def norm_without_statistics():
    return nn.Sequential(circular(), nn.BatchNorm2d(1, track_running_stats=False))


@exact()
def mixed_modes():
    network = nn.Sequential(circular(), nn.BatchNorm2d(1), nn.Dropout(0.5)).train()
    network[1].eval()
    return network


@exact()
def train_in_forward():
    class Training(Around):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x):
            self.norm.train()
            return self.conv(x)

    return Training()


@exact()
def eval_that_returns_nothing():
    class Quiet(Around):
        def eval(self):
            super().eval()

        def forward(self, x):
            return self.conv(x)

    return Quiet()


@measured()
def eval_that_raises():
    class Stubborn(Around):
        def eval(self):
            raise NotImplementedError("this network has one mode")

        train = eval

        def forward(self, x):
            return self.conv(x)

    return Stubborn()


@exact()
def frozen():
    return circular().requires_grad_(False)


@exact()
def has_gradients():
    conv = circular()
    conv(torch.ones(1, 1, 4, 4)).sum().backward()
    return conv


@exact()
def requires_grad_in_forward():
    class Toggling(Around):
        def forward(self, x):
            self.conv.requires_grad_(not self.conv.weight.requires_grad)
            return self.conv(x)

    return Toggling()


@exact()
def gradient_descent_inside():
    class Descending(Around):
        def forward(self, x):
            with torch.enable_grad():
                y = x.detach().clone().requires_grad_()
                loss = (self.conv(y) - x).square().sum()
                (step,) = torch.autograd.grad(loss, y)
            return y.detach() - 0.1 * step

    return Descending()


@exact()
def backward_inside():
    class Backward(Around):
        def forward(self, x):
            with torch.enable_grad():
                y = x.detach().clone().requires_grad_()
                self.conv(y).square().sum().backward()
            return y.grad

    return Backward()


@measured(alike=False)
def trains_itself():
    class Adapting(Around):
        def __init__(self):
            super().__init__()
            self.optimiser = torch.optim.Adam(self.parameters())

        def forward(self, x):
            with torch.enable_grad():
                self.optimiser.zero_grad()
                (self.conv(x) - x).square().mean().backward()
                self.optimiser.step()
            return self.conv(x)

    return Adapting()


@exact()
def gradient_of_a_potential():
    """As diffusion and energy models have it, by torch.func."""

    class Energy(Around):
        def forward(self, x):
            return torch.func.grad(lambda y: self.conv(y).square().sum())(x)

    return Energy()


@exact()
def output_that_requires_grad():
    class Open(Around):
        def forward(self, x):
            with torch.enable_grad():
                return self.conv(x)

    return Open()


@exact()
def weights_made_in_inference_mode():
    with torch.inference_mode():
        return circular().requires_grad_(False)


@exact()
def inference_mode_inside():
    class Inferring(Around):
        @torch.inference_mode()
        def forward(self, x):
            return self.conv(x)

    return Inferring()


@exact()
def cache_made_in_inference_mode():
    class Inferring(Around):
        cache = None

        def forward(self, x):
            with torch.inference_mode():
                if self.cache is None:
                    self.cache = self.conv.weight * 2
            return self.conv(x) * self.cache.sum()

    return Inferring()
