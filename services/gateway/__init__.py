"""The edge: HTTP and gRPC over one core, the answer pipeline, keys, limits and the ledger."""

import os

# Before numpy is imported anywhere: its matrix library otherwise starts a thread for each core,
# which spins for work some 20 ms after every small product.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
