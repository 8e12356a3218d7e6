"""The truth: collections, documents and chunks in SQL. Everything else can be rebuilt from it."""
