"""Outputs that a run keeps beside its rows: their files, and how large these will be."""
