"""The jobs table, which is the queue: acknowledged means committed."""
