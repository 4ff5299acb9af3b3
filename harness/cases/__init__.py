"""What is measured on: suites and their cases, as images in memory; no files of data sets."""
