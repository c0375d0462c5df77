"""Ports to what keeps things, and their adapters."""
