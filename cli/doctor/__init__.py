"""What `cairn doctor` looks at: machine, settings, data directory, running suite."""
