"""Bounds on what one request may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from services.rpc.errors import InvalidArgumentError, Reason


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds of a request."""

    max_texts: int = 2048
    max_text_characters: int = 1_000_000
    max_response_bytes: int = 64 * 1024 * 1024

    def check_count(self, field: str, count: int) -> None:
        """Refuses none or too many.

        Raises:
            InvalidArgumentError: Says which.
        """
        if count == 0:
            raise InvalidArgumentError.for_field(field, "is empty: give at least one")
        if count > self.max_texts:
            raise _too_large(field, "entries; split the request", count, self.max_texts)

    def check_text(self, field: str, text: str) -> None:
        """Refuses a text that is too long or no valid Unicode.

        Raises:
            InvalidArgumentError: Says which.
        """
        if len(text) > self.max_text_characters:
            raise _too_large(
                field, "characters; split the text", len(text), self.max_text_characters
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidArgumentError.for_field(
                field,
                f"holds a lone surrogate at character {error.start}, which is no Unicode text",
                Reason.INVALID_TEXT,
            ) from None

    def check_response(self, field: str, size_bytes: int) -> None:
        """Refuses what could not be sent back.

        Raises:
            InvalidArgumentError: The answer would be too large.
        """
        if size_bytes > self.max_response_bytes:
            raise _too_large(
                field,
                "bytes of answer; ask for fewer texts or a smaller element type",
                size_bytes,
                self.max_response_bytes,
            )


def _too_large(field: str, what: str, size: int, limit: int) -> InvalidArgumentError:
    error = InvalidArgumentError.for_field(
        field, f"{size} where at most {limit} are allowed: {what}", Reason.TOO_LARGE
    )
    error.metadata.update(limit=str(limit), size=str(size))
    return error
