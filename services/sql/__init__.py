"""SQLite and PostgreSQL behind one layer: engines, group-committing writer, readers, schemas.

Knows no RAG.
"""
