"""Turns texts into vectors, and compares questions with passages token by token."""

import os

# Before numpy is imported anywhere: its matrix library otherwise starts a thread for each core,
# which spins for work some 20 ms after every small product; a question then took half of its
# processor time for nothing. The model's own threads are torch's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
