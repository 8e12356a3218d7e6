"""OpenAI's API over the same core."""
