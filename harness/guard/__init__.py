"""Holding measurements to limits, baselines and each other; the pytest plugin."""

from equibench._moved import public_names_of

__getattr__ = public_names_of("guard")
