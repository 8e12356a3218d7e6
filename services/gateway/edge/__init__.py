"""Where requests come in: HTTP, gRPC, OpenAI's API, credentials, limits, the console."""
