"""Documents from a fixed seed, and the texts that are embedded for them."""

from __future__ import annotations

import itertools

from benchmarks.embedding.texts import passages
from services.ingestion.chunker import chunk_document, embedding_text
from services.ingestion.parsers import markdown

SHORT, LONG = 1, 24
"""Paragraphs of a document: an article of an encyclopaedia's introduction, and a long page."""


def documents(count: int, paragraphs: int, seed: int) -> list[str]:
    """Returns Markdown documents of so many paragraphs of 30 to 200 words."""
    texts = iter(passages(count * paragraphs, seed))
    made = []
    for number in range(count):
        body = [_sentences(text) for text in itertools.islice(texts, paragraphs)]
        made.append(f"# Number {seed}-{number}\n\n" + "\n\n".join(body) + "\n")
    return made


def embedded_texts(document: str) -> list[str]:
    """Returns what ingestion has embedded for a document."""
    parsed = markdown.parse(document.encode())
    return [
        embedding_text(parsed.title, chunk, parsed.text, max_prefix_characters=300)
        for chunk in chunk_document(parsed)
    ]


def _sentences(text: str) -> str:
    words = text.split()
    return " ".join(
        " ".join(words[start : start + 14]).capitalize() + "." for start in range(0, len(words), 14)
    )
