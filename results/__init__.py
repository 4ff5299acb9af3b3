"""The paper's tables, published runs and benchmarks: data, no code."""
