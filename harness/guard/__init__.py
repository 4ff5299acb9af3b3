"""Holding measurements to limits, baselines and each other; the pytest plugin."""
