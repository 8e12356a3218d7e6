"""Files of views, which make restarts fast, and snapshots of collections, which can be restored."""
