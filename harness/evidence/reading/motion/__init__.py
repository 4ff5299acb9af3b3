"""How values inside a network move with its input: the domain of proofs, no operators."""
