"""Bounds of everything a caller can send."""

from __future__ import annotations

MAX_DIMENSIONS = 8192
MAX_DOCUMENTS_PER_BATCH = 1000
MAX_CHUNKS_PER_BATCH = 20_000
"""Chunks in one write, over all its documents."""
MAX_DOCUMENT_ID_CHARACTERS = 512
MAX_CHUNK_ID_CHARACTERS = 256
MAX_TITLE_CHARACTERS = 4096
MAX_URI_CHARACTERS = 8192
MAX_TEXT_CHARACTERS = 16_000_000
MAX_CONTENT_HASH_CHARACTERS = 256
MAX_HEADINGS = 64
MAX_HEADING_CHARACTERS = 4096
MAX_TOKEN_CODES_BYTES = 8192
MAX_ACL_ENTRIES = 1000
MAX_PRINCIPAL_CHARACTERS = 512
MAX_METADATA_FIELDS = 128
"""Fields of one document."""
MAX_FIELDS = 1024
"""Fields of one collection, over all its documents."""
MAX_FIELD_NAME_CHARACTERS = 128
MAX_KEYWORD_CHARACTERS = 8192
MAX_TAGS = 1000
MAX_DESCRIPTION_CHARACTERS = 4096
MAX_MODEL_NAME_CHARACTERS = 256

MAX_TOP_K = 1000
MAX_CANDIDATES = 1000
MAX_RANK_CONSTANT = 1000
MAX_TOKEN_CODES = 100
"""Passages of one answer that may carry token codes."""
MAX_GROUPED = 10_000
"""Passages in all groups of one answer."""
MAX_QUERY_CHARACTERS = 32_768
MAX_QUERY_TERMS = 512
"""Different words of one query that are looked up; the rest is ignored."""
MAX_MIXED = 16
"""Further vectors or texts mixed into one query."""
MAX_QUERIES_PER_BATCH = 256
MAX_PAGE_SIZE = 1000
MAX_SNAPSHOT_ID_CHARACTERS = 256
MAX_IDS = 1000
"""Document ids in one request."""
MAX_FACET_VALUES = 1000
DEFAULT_PAGE_SIZE = 100
DEFAULT_EXPORT_BATCH = 100
DEFAULT_FACET_VALUES = 20
DEFAULT_TOP_K = 10
DEFAULT_CANDIDATES = 100
"""Measured with z-score fusion: two lists of 100 (see docs/decisions/0005)."""
MAX_SECONDS = 3_155_760_000
"""A hundred years."""
INDEX_PARAMETERS = {
    "links": (4, 128),
    "build_candidates": (8, 2000),
    "search_candidates": (8, 2000),
    "lists": (1, 65_536),
    "probes": (1, 65_536),
    "code_bytes": (1, 1024),
    "refine": (1, 200),
}
"""Least and largest value of each; 0 leaves it to the service."""
