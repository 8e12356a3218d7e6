"""Disposable in-memory views of collections: what searches read."""
