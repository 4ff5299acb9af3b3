"""A model and a suite for equibench."""
