"""All classes of shifts at the price of a few: what a proof is good for besides."""
