"""How images are moved and moved back, and which shifts are drawn; no networks."""
