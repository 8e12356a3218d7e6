"""From bytes to text and structure, each document in a process with limits."""
