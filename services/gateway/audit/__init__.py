"""The audit log: every access and change, each entry chained to the one before."""
