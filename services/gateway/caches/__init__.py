"""Caches of answers and results that cannot leak and cannot be stale (decision 0021)."""
