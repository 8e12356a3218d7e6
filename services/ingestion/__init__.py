"""Takes documents in and makes them searchable: durable jobs, parsers, chunker, embed, index."""
