"""The way of a document from bytes to searchable, a checkpoint behind each stage."""
