"""Where people already work: training loops, libraries of metrics, trackers; no new measurement."""
