"""Native loops, compiled on this machine for its own instructions; `registry` hands them out."""
