"""Models that are no modules, or modules in disguise."""

import asyncio
import functools
import threading

import numpy as np
import torch
from torch import nn
from zoo.entry import broken, circular, exact, measured, refused, zero_padded

NO_LAYERS = "has no layers to attribute to"


@exact(layers=NO_LAYERS)
def function():
    def model(images):
        return images.roll(1, -1)

    return model


@exact(layers=NO_LAYERS)
def lambda_():
    return lambda images: -images


@exact(layers=NO_LAYERS)
def builtin():
    return torch.relu


@exact(layers=NO_LAYERS)
def partial():
    return functools.partial(torch.clamp, min=0)


@exact(layers=NO_LAYERS)
def bound_method():
    return circular().forward


@exact(layers=NO_LAYERS)
def callable_object():
    class Model:
        def __call__(self, images):
            return images + 1

    return Model()


@exact(layers=NO_LAYERS, alike=False)
def closure_over_a_network_in_training():
    network = nn.Sequential(circular(), nn.BatchNorm2d(1), nn.Dropout(0.5))
    return lambda images: network(images)


@exact(layers=NO_LAYERS)
def partial_of_a_network():
    network = nn.Sequential(circular(), nn.BatchNorm2d(1))
    return functools.partial(nn.Module.__call__, network)


@exact(layers=NO_LAYERS)
def networks_in_a_dict():
    ensemble = {n: circular() for n in "ab"}
    return lambda images: sum(network(images) for network in ensemble.values())


@exact(layers=NO_LAYERS)
def compiled_function():
    return torch.compile(lambda images: images * 2, backend="eager")


@exact(layers=NO_LAYERS)
def vectorised_function():
    return torch.vmap(lambda image: image * image.amax())


@exact(layers=NO_LAYERS)
def functional_call():
    network = circular()
    state = {name: 2 * value.detach() for name, value in network.named_parameters()}
    return lambda images: torch.func.functional_call(network, state, (images,))


@broken(layers=NO_LAYERS)
def numpy_inside():
    def model(images):
        array = images.numpy()
        return torch.from_numpy(np.where(np.arange(16) < 8, array, 0))

    return model


@exact(layers=NO_LAYERS)
def any_number_of_arguments():
    return lambda *images, **options: images[0]


@exact(layers=NO_LAYERS)
def default_arguments():
    return lambda images, factor=2: images * factor


@refused("TypeError .*keyword-only|TypeError .*positional argument", layers=NO_LAYERS)
def keyword_only():
    def model(*, images):
        return images

    return model


@refused("TypeError .*positional argument", layers=NO_LAYERS)
def no_arguments():
    return lambda: torch.zeros(1)


@refused("TypeError .*positional argument")
def two_inputs():
    class Two(nn.Module):
        def forward(self, x, other):
            return x + other

    return Two()


@refused("returned a generator", layers=NO_LAYERS)
def generator():
    def model(images):
        yield images

    return model


@refused("returned a Coroutine", layers=NO_LAYERS)
def coroutine():
    class Coroutine:
        """As what ``async def`` returns, but for the warning when nobody waits for it."""

        def __await__(self):
            yield

    return lambda images: Coroutine()


@exact(layers=NO_LAYERS)
def event_loop_inside():
    async def work(images):
        await asyncio.sleep(0)
        return images * 2

    return lambda images: asyncio.run(work(images))


@exact()
def threads_inside():
    class Threaded(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = circular()

        def forward(self, x):
            found = []

            def work():
                with torch.no_grad():
                    found.append(self.conv(x))

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return found[0]

    return Threaded()


@exact()
def has_a_lock():
    class Locked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lock = circular(), threading.Lock()

        def forward(self, x):
            with self.lock:
                return self.conv(x)

    return Locked()


@exact()
def thread_local_state():
    class Local(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.local = circular(), threading.local()

        def forward(self, x):
            self.local.x = x
            return self.conv(self.local.x)

    return Local()


@exact()
def holds_an_open_file():
    conv = circular()
    conv.log = open(__file__, encoding="utf-8")  # noqa: SIM115
    conv.log.close()
    return conv


@exact()
def has_a_generator_as_attribute():
    conv = circular()
    conv.names = (name for name in "abc")
    return conv


@measured(layers=NO_LAYERS, alike=False)
def iterator_of_factors():
    factors = iter(range(1, 10**6))
    return lambda images: images * next(factors)


@exact()
def class_with_a_metaclass():
    class Meta(type):
        def __call__(cls, *given):
            made = super().__call__(*given)
            made.marked = True
            return made

    class Made(nn.Module, metaclass=Meta):
        def forward(self, x):
            return x / 2

    return Made()


@exact()
def call_instead_of_forward():
    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = circular()

        def __call__(self, x):
            return self.conv(x)

    return Direct()


@broken()
def forward_that_delegates():
    class Delegate(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ModuleDict({"net": zero_padded()})

        def forward(self, *given, **named):
            return self.inner["net"](*given, **named)

    return Delegate()


@exact()
def checkpointed():
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = circular()

        def forward(self, x):
            return checkpoint(self.conv, x, use_reentrant=False)

    return Checkpointed()
