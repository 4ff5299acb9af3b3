"""From rows to summaries, intervals and tests; no networks and no files."""
