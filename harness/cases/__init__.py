"""What is measured on: suites and their cases, as images in memory; no files of data sets."""

from equibench._moved import public_names_of

__getattr__ = public_names_of("cases")
