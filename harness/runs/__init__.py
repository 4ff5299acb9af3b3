"""Runs that are stored: units of work, folders, resuming, clusters."""
