"""Stores documents with their chunks and vectors, and finds them within the scope's permissions."""

import os

# Before numpy is imported anywhere: its matrix library otherwise starts a thread for each core,
# which spins for work; on a busy machine a scan of 10,000 rows then costs three times the CPU.
# Searches run beside each other instead.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
