"""Treatments: from a network that breaks equivariance to one that commutes with shifts.

Here stands what changes a network and what compares it before and after; the network's own
modules and weights are never touched. The harness below finds treatments by the registry.
"""
