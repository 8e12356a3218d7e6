"""Vectors, words and filters in Milvus: a view like the local one, of the same truth in SQL."""
