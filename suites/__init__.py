"""On what is measured: MRI, CT, photographs, noise, and the sample data that ship with it.

Every suite module imports quickly; the libraries that read a data set are imported when a
case is loaded.
"""
