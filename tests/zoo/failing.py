"""Networks that cannot compute: for every image, for some, or not any more."""

import sys

import torch
from torch import nn
from zoo.entry import circular, refused


class Raising(nn.Module):
    """Raises what a function makes, with a layer before it."""

    def __init__(self, make):
        super().__init__()
        self.conv, self.make = circular(), make

    def forward(self, x):
        raise self.make(self.conv(x))


@refused("ValueError .*: wrong")
def value_error():
    return Raising(lambda y: ValueError("wrong"))


@refused("ValueError .*: no message")
def error_without_a_message():
    return Raising(lambda y: ValueError())


@refused("ValueError .*: first second third$")
def error_of_many_lines():
    return Raising(lambda y: ValueError("first\nsecond\n\tthird"))


@refused("ValueError .*: after an empty line")
def error_that_begins_with_an_empty_line():
    return Raising(lambda y: ValueError("\n\nafter an empty line\r\nmore"))


@refused("Unprintable")
def error_that_cannot_be_printed():
    class UnprintableError(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    return Raising(lambda y: UnprintableError())


@refused("KeyError .*'weights'")
def key_error():
    return Raising(lambda y: KeyError("weights"))


@refused("AssertionError")
def assertion():
    return Raising(lambda y: AssertionError())


@refused("StopIteration")
def stop_iteration():
    return Raising(lambda y: StopIteration())


@refused("SystemExit")
def system_exit():
    return Raising(lambda y: SystemExit(3))


@refused("Fatal")
def base_exception():
    class Fatal(BaseException):
        pass

    return Raising(lambda y: Fatal("not even an Exception"))


@refused("ExceptionGroup")
def exception_group():
    return Raising(lambda y: ExceptionGroup("several", [ValueError("one"), TypeError("two")]))


@refused("UserWarning|RuntimeWarning")
def warning_as_an_error():
    return Raising(lambda y: UserWarning("mind this"))


@refused("UnicodeDecodeError")
def unicode_error():
    return Raising(lambda y: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"))


@refused("RecursionError")
def endless_recursion():
    class Endless(nn.Module):
        def forward(self, x):
            return self.forward(x)

    return Endless()


@refused("SystemExit")
def exits():
    class Exiting(nn.Module):
        def forward(self, x):
            sys.exit("goodbye")

    return Exiting()


@refused("NotImplementedError")
def no_forward():
    class Nothing(nn.Module):
        pass

    return Nothing()


@refused("AttributeError")
def misspelt_attribute():
    class Misspelt(nn.Module):
        def forward(self, x):
            return self.cnov(x)

    return Misspelt()


@refused("RuntimeError .*channels.*in.channels=3")
def colour():
    return nn.Conv2d(3, 3, 3, padding=1)


@refused("RuntimeError")
def sizes_that_do_not_fit():
    class Skipping(nn.Module):
        def forward(self, x):
            return torch.cat((x, nn.functional.interpolate(x, size=(15, 15))), dim=1)

    return Skipping()


@refused("dtype|Double|double")
def double_weights():
    return circular().double()


@refused("dtype|Half|half|type")
def half_weights():
    return circular().half()


@refused("meta")
def meta_weights():
    with torch.device("meta"):
        return nn.Conv2d(1, 1, 3, padding=1)


@refused("meta")
def meta_buffer():
    network = circular()
    network.register_buffer("scale", torch.ones(1, device="meta"))
    return network


@refused("RuntimeError .*second")
def fails_on_its_second_call():
    class Tired(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.calls = circular(), 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("no second time")
            return self.conv(x)

    return Tired()


@refused("RuntimeError .*one image")
def refuses_batches():
    class Single(nn.Module):
        def forward(self, x):
            if len(x) > 1:
                raise RuntimeError("one image at a time")
            return x

    return Single()


@refused("cannot be built.*ValueError.*not today", layers=None)
def factory_that_raises():
    raise ValueError("not today")
