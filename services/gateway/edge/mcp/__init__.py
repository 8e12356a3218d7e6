"""The Model Context Protocol over the same core: `/mcp`."""
