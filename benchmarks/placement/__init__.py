"""Prompt caches of two replicas: by turns against by prefix."""
