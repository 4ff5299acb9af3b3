"""One model on one suite, in memory: what `equibench.evaluate` does, and how it is made fast."""
