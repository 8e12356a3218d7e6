"""Why the work on a document fails, in words for programs and for people."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Stage(enum.IntEnum):
    """How far a job is; each stage is a checkpoint. Numbered as in the contract."""

    RECEIVED = 1
    PARSED = 2
    CHUNKED = 3
    EMBEDDED = 4
    INDEXED = 5


class FailureReason(enum.StrEnum):
    """Machine-readable reasons of refused documents and failed jobs."""

    # Refused at the door, nothing is stored.
    EMPTY_TEXT = "EMPTY_TEXT"
    """Zero bytes; or, as a dead letter, a file without any text."""
    TOO_LARGE = "TOO_LARGE"
    """Over the limit on bytes, text or chunks; the message tells both figures."""
    UNSUPPORTED_CONTENT_TYPE = "UNSUPPORTED_CONTENT_TYPE"
    INVALID_FIELD = "INVALID_FIELD"
    INVALID_TEXT = "INVALID_TEXT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    ACL_REQUIRED = "ACL_REQUIRED"

    # Found at the source; the item is not submitted.
    ADDRESS_REFUSED = "ADDRESS_REFUSED"
    """The web address leads into the network."""
    FETCH_FAILED = "FETCH_FAILED"
    """The web server did not give the document."""
    SOURCE_UNREADABLE = "SOURCE_UNREADABLE"
    """The file, folder or store cannot be read."""

    # Found while parsing: final.
    PARSE_FAILED = "PARSE_FAILED"
    """The file is damaged or is not what it says."""
    ENCRYPTED = "ENCRYPTED"
    """A password is needed to open it."""
    LEGACY_FORMAT = "LEGACY_FORMAT"
    """A binary Office format (.doc, .ppt, .xls, .msg, …); the message says what to save it as."""
    UNSAFE_CONTENT = "UNSAFE_CONTENT"
    """Built to do harm: entities in XML, a container with tens of thousands of parts."""
    NEEDS_OCR = "NEEDS_OCR"
    """It has pages but no text: scanned images."""
    PARSE_TIMEOUT = "PARSE_TIMEOUT"
    """Parsing went over its limit on processor or wall time."""
    PARSE_OUT_OF_MEMORY = "PARSE_OUT_OF_MEMORY"
    PARSER_CRASHED = "PARSER_CRASHED"
    """The parser's process died; only the file at hand is concerned."""

    ENRICHMENT_FAILED = "ENRICHMENT_FAILED"
    """A function that enriches documents failed on this one, or took too long."""

    # Found later.
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    """The collection's embedding model is not loaded."""
    MODEL_MISMATCH = "MODEL_MISMATCH"
    """The loaded model is not the one the collection's vectors come from."""
    DIMENSION_MISMATCH = "DIMENSION_MISMATCH"
    """The vectors have another length than the collection's."""
    TYPE_CONFLICT = "TYPE_CONFLICT"
    """A metadata value has another type than its field in the collection."""
    EMBEDDING_REFUSED = "EMBEDDING_REFUSED"
    """The embedding service refused a text."""
    INDEX_REFUSED = "INDEX_REFUSED"
    """The retrieval service refused the document."""
    CONFLICT = "CONFLICT"
    """Other writers kept changing the document."""
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    """A service that is needed does not answer; the job waits and goes on."""
    WORKER_LOST = "WORKER_LOST"
    """Workers died over this job time and again."""
    INTERNAL = "INTERNAL"
    """A fault of ours; the log has the details."""
    DELETED = "DELETED"
    """The document was deleted while the job ran."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, as it is stored with the job."""

    reason: str
    """A `FailureReason`, or the reason of the service error that refused the document."""
    message: str
    """What is wrong and how to mend it. Never holds document text."""
    stage: Stage
    """Stage that failed."""
    is_retryable: bool = False
    """Whether another attempt can help."""


class StageFailedError(Exception):
    """A stage cannot do its work on this document.

    Args:
        reason: Why, for programs.
        message: What is wrong and how to mend it, for people.
        is_retryable: Whether another attempt can help.
        restart_from: Stage to go back to when trying again; None: the one that failed.
    """

    def __init__(
        self,
        reason: FailureReason,
        message: str,
        *,
        is_retryable: bool = False,
        restart_from: Stage | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.is_retryable = is_retryable
        self.restart_from = restart_from


class DependencyDownError(Exception):
    """A service that the stage needs does not answer; the document is not to blame.

    Args:
        dependency: Its name.
        message: What it said.
        retry_after_seconds: When it asks to be tried again, if it said so.
    """

    def __init__(
        self, dependency: str, message: str, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.dependency = dependency
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class LeaseLostError(Exception):
    """Someone else has the job now, or it was cancelled, superseded or deleted: stop silently."""
