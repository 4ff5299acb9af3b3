"""Networks whose outputs are no images, or images of another kind."""

import warnings
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from zoo.entry import broken, circular, exact, measured, refused


class Giving(nn.Module):
    """Gives what a function makes of a convolved image."""

    def __init__(self, make):
        super().__init__()
        self.conv, self.make = circular(), make

    def forward(self, x):
        return self.make(self.conv(x))


@refused("returned a tuple .*out.select=0")
def tuple_():
    return Giving(lambda y: (y, y))


@refused("returned a list .*out.select=0")
def list_():
    return Giving(lambda y: [y])


@refused("returned a dict .*image.*out.select=image")
def dict_():
    return Giving(lambda y: {"loss": 0.0, "image": y})


@refused("returned a dict|OrderedDict")
def ordered_dict():
    return Giving(lambda y: OrderedDict(image=y))


@refused("returned a tuple|Pair")
def named_tuple():
    return Giving(lambda y: namedtuple("Pair", "image loss")(y, 0.0))


@refused("returned a Output")
def dataclass_():
    @dataclass
    class Output:
        image: Tensor

    return Giving(Output)


@refused("returned a tuple")
def nested_tuple():
    return Giving(lambda y: ((y,), {"y": y}))


@refused("returned a NoneType")
def none():
    return Giving(lambda y: None)


@refused("returned a str")
def text():
    return Giving(lambda y: "done")


@refused("returned a ndarray")
def numpy_array():
    return Giving(lambda y: y.numpy())


@refused("returned a float")
def number():
    return Giving(lambda y: float(y.mean()))


@refused(r"returned a tensor \(\)")
def scalar():
    return Giving(lambda y: y.mean())


@refused(r"returned a tensor \(2\)")
def one_number_an_image():
    return Giving(lambda y: y.mean(dim=(1, 2, 3)))


@refused(r"returned a tensor \(2, 10\)")
def classifier():
    return nn.Sequential(circular(), nn.Flatten(), nn.Linear(256, 10))


@refused(r"returned a tensor \(2, 256, 1\)")
def tokens():
    return Giving(lambda y: y.flatten(2).transpose(1, 2))


@refused(r"returned a tensor \(2, 16, 16\)")
def channel_dropped():
    return Giving(lambda y: y[:, 0])


@refused(r"returned a tensor \(2, 1, 1, 16, 16\)")
def volume():
    return Giving(lambda y: y[:, None])


@refused(r"returned a tensor \(2, 1, 8, 8\)")
def half_the_size():
    return nn.Sequential(circular(), nn.AvgPool2d(2))


@refused(r"returned a tensor \(2, 1, 32, 32\).*out.scale=2")
def twice_the_size():
    return nn.Sequential(circular(), nn.Upsample(scale_factor=2))


@refused(r"returned a tensor \(2, 1, 32, 32\).*out.scale=2")
def twice_the_size_by_an_attribute_of_its_own():
    network = nn.Sequential(circular(), nn.Upsample(scale_factor=2))
    network.output_scale = 2
    return network


@refused(r"returned a tensor \(2, 1, 14, 14\)")
def valid_convolution():
    return nn.Conv2d(1, 1, 3)


@refused(r"returned a tensor \(2, 1, 16, 8\)")
def half_the_width():
    return Giving(lambda y: y[..., ::2])


@refused(r"returned a tensor \(1, 1, 16, 16\)")
def batch_dropped():
    return Giving(lambda y: y[:1])


@refused(r"returned a tensor \(4, 1, 16, 16\)")
def batch_doubled():
    return Giving(lambda y: torch.cat((y, y)))


@refused(r"returned a tensor \(0, 1, 16, 16\)")
def empty_batch():
    return Giving(lambda y: y[:0])


@refused("channel")
def no_channels():
    return Giving(lambda y: y[:, :0])


@refused(r"returned a tensor \(2, 16, 16, 1\)")
def channels_behind():
    return Giving(lambda y: y.permute(0, 2, 3, 1))


@exact()
def many_channels():
    return circular(17)


@refused("returned torch.int64")
def labels():
    return Giving(lambda y: (y > 0).long())


@refused("returned torch.bool")
def mask():
    return Giving(lambda y: y > 0)


@refused("returned torch.uint8")
def bytes_():
    return Giving(lambda y: (y.sigmoid() * 255).byte())


@refused("returned torch.complex64")
def complex_():
    return Giving(lambda y: torch.fft.fft2(y))


@refused("returned a torch.sparse_coo tensor")
def sparse():
    return Giving(lambda y: y.to_sparse())


@refused("on meta")
def meta_output():
    return Giving(lambda y: y.to("meta"))


@refused("quint8|dtype|real numbers")
def quantised_output():
    def make(y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.quantize_per_tensor(y, 0.1, 0, torch.quint8)

    return Giving(make)


@refused("torch.jagged tensor")
def nested_tensor():
    return Giving(lambda y: torch.nested.nested_tensor(list(y), layout=torch.jagged))


@exact()
def double_precision():
    return Giving(lambda y: y.double())


@measured()
def half_precision():
    return Giving(lambda y: y.half())


@measured()
def brain_floats():
    return Giving(lambda y: y.bfloat16())


@exact()
def channels_last_output():
    return Giving(lambda y: y.contiguous(memory_format=torch.channels_last))


@exact()
def strided_output():
    return Giving(lambda y: torch.stack((y, y), dim=-1)[..., 0])


@exact()
def expanded_output():
    return Giving(lambda y: y.mean(dim=(2, 3), keepdim=True).expand_as(y))


@exact()
def parameter_as_output():
    return Giving(nn.Parameter)


@exact()
def tensor_subclass():
    class Image(Tensor):
        pass

    return Giving(lambda y: y.as_subclass(Image))


@refused("RuntimeError .*shape|cannot be read|RuntimeError")
def tensor_that_hides_its_shape():
    class Hiding(Tensor):
        @property
        def shape(self):
            raise RuntimeError("the shape is a secret")

    return Giving(lambda y: y.as_subclass(Hiding))


@measured()
def not_a_number():
    return Giving(lambda y: y * torch.nan)


@measured()
def infinite():
    return Giving(lambda y: y / 0)


@measured()
def one_infinite_pixel():
    def make(y):
        y[..., 0, 0] = torch.inf
        return y

    return Giving(make)


@measured()
def huge_numbers():
    return Giving(lambda y: y * 1e38)


@measured()
def tiny_numbers():
    return Giving(lambda y: y * 1e-42)


@exact()
def zeros():
    return Giving(lambda y: 0 * y)


@exact()
def constant():
    return Giving(lambda y: torch.ones_like(y))


@broken()
def position_alone():
    return Giving(lambda y: torch.arange(16.0).expand_as(y))


@refused("out of memory")
def enormous():
    return Giving(lambda y: y.expand(-1, 2**40, -1, -1))


@refused("out of memory")
def enormous_inside():
    return Giving(lambda y: y + torch.ones(2**46))
