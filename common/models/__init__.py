"""Requests, work items and results, as they cross a boundary."""
