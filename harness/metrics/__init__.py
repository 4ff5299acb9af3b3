"""How far two images are from each other, in batches; what a number is stands on its metric."""

from equibench._moved import public_names_of

__getattr__ = public_names_of("metrics")
