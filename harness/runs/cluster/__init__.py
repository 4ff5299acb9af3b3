"""Runs on several processes or machines, by Dask; nothing that a run on one needs."""
