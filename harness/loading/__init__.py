"""From what users type to models and suites in memory: weights, files, adapters, processes."""
