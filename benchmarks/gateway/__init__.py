"""What the gateway costs and how fast it is, beside LiteLLM's proxy."""
