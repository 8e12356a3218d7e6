"""What the gateway keeps in SQL: keys, usage, feedback."""
