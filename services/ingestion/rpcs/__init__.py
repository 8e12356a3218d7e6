"""The RPCs of the ingestion service, by what they are about."""
