"""What is known of all shifts from a few: stride, residue classes, proofs."""
