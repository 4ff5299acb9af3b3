"""How images are moved, and which motions are drawn; no networks."""
