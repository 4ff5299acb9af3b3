"""Figures of a run as PDF and PNG."""
