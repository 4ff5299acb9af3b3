"""Networks that are wrapped, hooked, shared, compiled or stored in an unusual way."""

import functools
import types
import warnings
import weakref
from typing import ClassVar

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from zoo.entry import broken, circular, exact, measured, refused, zero_padded

NO_HOOKS = "layers of TorchScript cannot be seen"


@exact()
def plain():
    return circular()


@broken()
def zero_padding():
    return zero_padded()


@exact()
def forward_hook_that_changes_the_output():
    conv = circular()
    conv.register_forward_hook(lambda module, given, output: output * 2)
    return conv


@exact()
def forward_hook_with_kwargs():
    conv = circular()
    conv.register_forward_hook(lambda m, given, named, output: output + 1, with_kwargs=True)
    return conv


@exact()
def forward_pre_hook():
    conv = circular()
    conv.register_forward_pre_hook(lambda module, given: (given[0].abs(),))
    return conv


@exact()
def backward_hook():
    conv = circular()
    conv.register_full_backward_hook(lambda module, before, after: None)
    return conv


@exact()
def tensor_hook():
    conv = circular()
    conv.weight.register_hook(lambda gradient: gradient)
    return conv


@refused("ValueError .*the hook says no")
def hook_that_raises():
    def hook(module, given):
        raise ValueError("the hook says no")

    conv = circular()
    conv.register_forward_pre_hook(hook)
    return conv


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


@exact()
def parametrised():
    conv = circular()
    parametrize.register_parametrization(conv, "weight", Doubled())
    return conv


@exact()
def weight_norm():
    return parametrizations.weight_norm(circular())


@exact()
def spectral_norm():
    return parametrizations.spectral_norm(circular())


@exact()
def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(circular())


@exact()
def old_spectral_norm():
    return nn.utils.spectral_norm(circular())


@exact()
def pruned():
    from torch.nn.utils import prune

    return prune.l1_unstructured(circular(), "weight", 3)


@exact()
def tied_weights():
    first, second = circular(), circular()
    second.weight = first.weight
    return nn.Sequential(first, second)


@exact()
def one_module_twice():
    conv = circular()
    return nn.Sequential(conv, nn.ReLU(), conv)


@exact()
def module_that_contains_itself():
    conv = circular()
    object.__setattr__(conv, "parent", conv)
    return conv


@exact()
def buffer_that_is_a_view_of_a_parameter():
    conv = circular()
    conv.register_buffer("first", conv.weight.detach()[:1])
    return conv


@exact()
def parameters_in_one_flat_buffer():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            conv = circular()
            self.flat = nn.Parameter(torch.cat([conv.weight.flatten(), conv.bias]).detach())

        def forward(self, x):
            x = nn.functional.pad(x, (1, 1, 1, 1), mode="circular")
            return nn.functional.conv2d(x, self.flat[:9].view(1, 1, 3, 3), self.flat[9:])

    return Flat()


@exact()
def data_parallel():
    return nn.DataParallel(circular())


@exact()
def nested_data_parallel():
    return nn.DataParallel(nn.Sequential(nn.DataParallel(circular())))


@exact()
def compiled():
    return torch.compile(circular(), backend="eager")


@exact()
def compiled_in_place():
    conv = circular()
    conv.compile(backend="eager")
    return conv


@exact(layers=NO_HOOKS)
def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(circular())


@exact(layers=NO_HOOKS)
def traced():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(circular().eval(), torch.rand(2, 1, 16, 16))


@exact()
def traced_symbolically():
    return torch.fx.symbolic_trace(nn.Sequential(circular(), nn.ReLU()))


@exact()
def exported():
    network = torch.export.export(circular().eval(), (torch.rand(2, 1, 16, 16),)).module()
    for name in ("train", "eval"):
        vars(network)[name] = lambda mode=True: network
    return network


@exact()
def channels_last():
    return circular().to(memory_format=torch.channels_last)


@exact()
def deep():
    return nn.Sequential(*(nn.Sequential(nn.Identity()) for _ in range(200)), circular())


@exact()
def nested_two_hundred_deep():
    network = circular()
    for _ in range(200):
        network = nn.Sequential(network)
    return network


@exact()
def empty_sequential():
    return nn.Sequential()


@exact()
def identity():
    return nn.Identity()


@refused("NotImplementedError")
def module_list_that_is_no_network():
    return nn.ModuleList([circular()])


@exact()
def falsy():
    class Falsy(nn.Conv2d):
        def __len__(self):
            return 0

    network = Falsy(1, 1, 1)
    nn.init.ones_(network.weight)
    return network


@exact()
def unhashable():
    class Unhashable(nn.Module):
        __hash__ = None

        def forward(self, x):
            return -x

    return Unhashable()


@exact()
def equal_to_anything():
    class Equal(nn.Module):
        def __eq__(self, other):
            return torch.ones(3)

        __hash__ = nn.Module.__hash__

        def forward(self, x):
            return -x

    return Equal()


@exact()
def invents_attributes():
    class Inventive(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = circular()

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return f"no {name}"

        def forward(self, x):
            return self.conv(x)

    return Inventive()


@exact()
def attributes_that_raise():
    class Touchy(nn.Module):
        @property
        def total_stride(self):
            raise RuntimeError("not before training")

        output_scale = padded = total_stride

        def forward(self, x):
            return 2 * x

    return Touchy()


@exact(layers="has no layers to attribute to")
def slots():
    class Slotted:
        __slots__ = ("factor",)

        def __init__(self):
            self.factor = 3.0

        def __call__(self, x):
            return self.factor * x

    return Slotted()


@exact()
def cannot_be_copied():
    class Single(nn.Module):
        def __deepcopy__(self, memo):
            raise TypeError("there is one of us")

        def forward(self, x):
            return x.flip(1)

    return Single()


@exact()
def copies_are_another_network():
    """What a copy computes is not what the network does."""

    class Unlike(nn.Module):
        def __deepcopy__(self, memo):
            return zero_padded()

        def forward(self, x):
            return x * 2

    return Unlike()


@exact()
def copies_are_the_network_itself():
    class Same(nn.Module):
        def __deepcopy__(self, memo):
            return self

        def forward(self, x):
            self.kept = x
            return self.kept * 2

    return Same()


class Around(nn.Module):
    """A circular convolution, to be called by some detour."""

    def __init__(self):
        super().__init__()
        self.conv = circular()


@exact()
def lambda_that_reads_self():
    class Late(Around):
        def __init__(self):
            super().__init__()
            self.kept = None
            self.act = lambda: self.conv(self.kept)

        def forward(self, x):
            self.kept = x
            return self.act()

    return Late()


@exact()
def forward_replaced_by_a_closure():
    network = Around()

    def forward(x):
        network.kept = x
        return network.conv(network.kept)

    network.forward = forward
    return network


@exact()
def forward_of_another_object():
    class Bound(Around):
        def run(self, x):
            self.kept = x
            return self.conv(self.kept)

    network = Bound()
    network.forward = network.run
    return network


@exact()
def forward_weakly_bound():
    class Weak(Around):
        def __init__(self):
            super().__init__()
            self.me = weakref.ref(self)

        def forward(self, x):
            self.me().kept = x
            return self.conv(self.me().kept)

    return Weak()


@exact()
def forward_of_a_function():
    network = Around()
    network.forward = types.MethodType(lambda self, x: self.conv(x), network)
    return network


@exact()
def partial_of_its_own_method():
    class Partial(Around):
        def __init__(self):
            super().__init__()
            self.work = functools.partial(Partial.run, self)

        def run(self, x):
            self.kept = x
            return self.conv(self.kept)

        def forward(self, x):
            return self.work(x)

    return Partial()


SHARED = {}


@exact()
def keeps_its_input_in_a_global():
    class Global(Around):
        def forward(self, x):
            SHARED["x"] = x
            return self.conv(SHARED["x"])

    return Global()


@exact()
def keeps_its_input_in_its_class():
    class Shared(Around):
        kept: ClassVar = []

        def forward(self, x):
            self.kept[:] = [x]
            return self.conv(self.kept[0])

    return Shared()


@exact()
def layers_hidden_in_a_list():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [circular(), nn.BatchNorm2d(1)]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    network = Hidden()
    network.layers[1].train()
    return network


@measured()
def attribute_that_lies_about_its_stride():
    conv = zero_padded()
    conv.total_stride = 2
    return conv


@exact()
def name_of_two_lines():
    conv = circular()
    conv.__name__ = "two\nlines"
    return conv
