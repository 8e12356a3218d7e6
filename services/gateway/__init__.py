"""The edge: HTTP and gRPC over one core, the answer pipeline, keys, limits and the ledger."""
