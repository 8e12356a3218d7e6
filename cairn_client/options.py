"""Options of calls, by their names in the API. What is left out has the gateway's default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from cairn_client.types import Mode, Turn, Verification


class SearchOptions(TypedDict, total=False):
    """Of a search."""

    collection: str
    history: Sequence[Turn]
    filter: str
    top_k: int
    mode: Mode
    rerank: bool
    max_per_document: int
    explain: bool


class QueryOptions(TypedDict, total=False):
    """Of a question."""

    collection: str
    history: Sequence[Turn]
    filter: str
    top_k: int
    mode: Mode
    rerank: bool
    model: str
    max_tokens: int
    temperature: float
    verification: Verification
    explain: bool
    bypass_cache: bool


class RecommendOptions(TypedDict, total=False):
    """Of a recommendation."""

    negative_ids: Sequence[str]
    collection: str
    filter: str
    top_k: int


class DocumentOptions(TypedDict, total=False):
    """Of one document."""

    collection: str
    omit_text: bool


class ListOptions(TypedDict, total=False):
    """Of a list of documents."""

    collection: str
    states: Sequence[str]
    page_size: int


class PageOptions(ListOptions, total=False):
    """Of a page of documents."""

    page_token: str


class CollectionOptions(TypedDict, total=False):
    """Of a new collection."""

    embedding_model: str
    fields: Mapping[str, str]
    is_acl_required: bool
    language: str
    description: str
    index_type: str
