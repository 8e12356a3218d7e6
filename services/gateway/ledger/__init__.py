"""Who used what, when, for how much: exact over replicas and crashes."""
