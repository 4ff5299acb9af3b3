"""What is known of all shifts from a few, or from none: stride, residue classes, proofs."""
