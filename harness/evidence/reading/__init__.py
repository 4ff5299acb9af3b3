"""A network that is read in place of tried: its graph, what moves in it, and what that spares."""
