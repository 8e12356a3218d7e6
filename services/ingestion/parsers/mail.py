"""Mail: the message as it reads, then its attachments, each read as the file it is."""

from __future__ import annotations

import email
import email.errors
import email.header
import email.policy
import email.utils
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import Message

from services.ingestion.parsers import dispatch, formats, html
from services.ingestion.parsers.decoding import clean, decode
from services.ingestion.parsers.options import ParseOptions
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.plain import paragraphs
from services.ingestion.parsers.recognise import recognise
from services.ingestion.parsers.writer import DocumentWriter, one_line, storable
from services.rpc.errors import ServiceError

_SHOWN_FIELDS = ("From", "To", "Cc", "Date", "Subject")
_MAX_DEPTH = 4
"""Messages inside messages."""
_MAX_PARTS = 500
_MAX_FIELD_CHARACTERS = 8192
_MAX_ATTACHMENT_BYTES = 64 * 1024 * 1024
_ENCRYPTED_TYPES = {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"}
_NO_CONTENT = {
    "application/pgp-signature",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
    "text/x-amp-html",
    "message/delivery-status",
}
_DEFAULTS = ParseOptions()
_SHARED_WORDS = 0.6
"""Two forms of a message that share less than this of their words are not the same message."""


def parse(data: bytes, options: ParseOptions = _DEFAULTS) -> ParsedDocument:
    """Returns a message with its attachments.

    Raises:
        UnparsableError: it is encrypted, empty or nested too deeply.
    """
    message = email.message_from_bytes(data.lstrip(b"\r\n"), policy=email.policy.compat32)
    return _Reader(message, options).read()


@dataclass(slots=True)
class _Budget:
    parts: int = _MAX_PARTS
    size_bytes: int = _MAX_ATTACHMENT_BYTES


class _Reader:
    def __init__(self, message: Message, options: ParseOptions) -> None:
        self._message = message
        self._options = options
        self._writer = DocumentWriter()
        self._budget = _Budget()
        self._is_encrypted = False
        self._files: list[Message] = []

    def read(self) -> ParsedDocument:
        subject = _field(self._message, "Subject")
        fields = [
            f"{name}: {value}" for name in _SHOWN_FIELDS if (value := _field(self._message, name))
        ]
        self._writer.paragraph("\n".join(fields))
        before = self._writer.length
        self._part(self._message, 0)
        for attachment in self._files:
            self._attachment(attachment)
        if self._is_encrypted and self._writer.length == before:
            raise UnparsableError(
                "ENCRYPTED", "the message is encrypted; submit it as it reads when opened"
            )
        if self._is_encrypted:
            self._writer.warnings.append("an encrypted part was left out")
        return self._writer.finish(subject)

    def _part(self, part: Message, depth: int) -> None:
        self._budget.parts -= 1
        if self._budget.parts < 0:
            raise UnparsableError("TOO_LARGE", f"the message has over {_MAX_PARTS} parts")
        if depth > 50:
            raise UnparsableError("PARSE_FAILED", "the message is nested too deeply")
        kind = part.get_content_type()
        if kind in _ENCRYPTED_TYPES and part.get_param("smime-type") != "signed-data":
            self._is_encrypted = True
        elif kind in _NO_CONTENT:
            return
        elif kind == "multipart/alternative" and part.is_multipart():
            self._alternatives(_parts_of(part), depth)
        elif kind == "message/rfc822":
            self._inner_message(part, depth)
        elif part.is_multipart():
            for child in _parts_of(part):
                self._part(child, depth + 1)
        elif _is_attachment(part):
            self._files.append(part)
        else:
            self._writer.append(self._body(part))

    def _alternatives(self, parts: list[Message], depth: int) -> None:
        """Writes the richest form of a message, and the plain one when it says something else."""
        texts = [part for part in parts if part.get_content_type() in {"text/plain", "text/html"}]
        rest = [part for part in parts if part not in texts]
        bodies = {part.get_content_type(): self._body(part) for part in texts}
        plain, rich = bodies.get("text/plain"), bodies.get("text/html")
        if rich is not None and rich.blocks:
            self._writer.append(rich)
            if plain is not None and not _says_the_same(plain.text, rich.text):
                self._writer.append(plain)
        elif plain is not None:
            self._writer.append(plain)
        for part in rest:
            self._part(part, depth + 1)

    def _body(self, part: Message) -> ParsedDocument:
        data = _payload(part)
        if part.get_content_type() == "text/html":
            try:
                return html.parse_text(_decoded(part, data, is_html=True))
            except UnparsableError:
                return ParsedDocument("", ())
        text = storable(clean(_decoded(part, data))).strip("\n")
        return ParsedDocument(text, tuple(paragraphs(text)))

    def _inner_message(self, part: Message, depth: int) -> None:
        inner = _parts_of(part)
        if not inner:
            return
        if self._options.depth >= _MAX_DEPTH:
            self._writer.warnings.append("a message was left out: too many messages around it")
            return
        options = replace(self._options, depth=self._options.depth + 1)
        try:
            parsed = _Reader(inner[0], options).read()
        except UnparsableError as error:
            self._writer.warnings.append(f"an attached message was left out: {error.reason}")
            return
        self._under(f"Message: {parsed.title}" if parsed.title else "Message", parsed)

    def _under(self, heading: str, parsed: ParsedDocument) -> None:
        self._writer.leave_sections(1)
        self._writer.heading(1, heading)
        self._writer.append(parsed)
        self._writer.leave_sections(1)
        self._writer.warnings.extend(parsed.warnings)

    def _attachment(self, part: Message) -> None:
        name = _file_name(part)
        data = _payload(part)
        self._budget.size_bytes -= len(data)
        if self._budget.size_bytes < 0:
            self._writer.warnings.append(f"attachment {name!r} was left out: TOO_LARGE")
            return
        declared = part.get_content_type()
        if declared in {"application/octet-stream", "text/plain"} and "." in name:
            declared = ""
        options = replace(self._options, depth=self._options.depth + 1)
        try:
            parsed = dispatch.parse(data, _type_of(data, name, declared, options), options)
        except (UnparsableError, ServiceError) as error:
            reason = error.reason if isinstance(error, UnparsableError) else error.reason.value
            self._writer.warnings.append(f"attachment {name!r} was left out: {reason}")
            return
        self._under(f"Attachment: {name}", parsed)


def _type_of(data: bytes, name: str, declared: str, options: ParseOptions) -> str:
    try:
        content_type = recognise(data[:4096], name, declared)
    except ServiceError:
        # Mail programs often declare wrongly.
        content_type = recognise(data[:4096], "", "")
    if content_type == formats.EMAIL and options.depth > _MAX_DEPTH:
        raise UnparsableError("TOO_LARGE", "too many messages around it")
    return content_type


def _parts_of(part: Message) -> list[Message]:
    payload = part.get_payload()
    if not isinstance(payload, list):
        return []
    return [each for each in payload if isinstance(each, Message)]


def _is_attachment(part: Message) -> bool:
    if part.get_content_disposition() == "attachment":
        return True
    return part.get_content_type() not in {"text/plain", "text/html"} or (
        bool(part.get_filename()) and part.get_content_disposition() is not None
    )


def _payload(part: Message) -> bytes:
    """Returns the bytes of a part, whatever its encoding is worth."""
    try:
        data = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        data = None
    raw = part.get_payload()
    if isinstance(data, bytes) and (data or not raw):
        return data
    return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else b""


def _decoded(part: Message, data: bytes, *, is_html: bool = False) -> str:
    """Returns the text in the charset that is declared, unless its bytes are something else."""
    try:
        charset = (part.get_content_charset() or "").strip("\"' ").lower()
    except (ValueError, LookupError):
        charset = ""
    if charset and charset not in {"us-ascii", "ascii"}:
        try:
            return data.decode(charset)
        except (UnicodeError, LookupError):
            pass
    try:
        return decode(data, is_html=is_html)[0]
    except UnparsableError:
        return data.decode("latin-1")


def _field(message: Message, name: str) -> str:
    """Returns a header field as it reads: encoded words decoded, on one line."""
    # As it stands, bytes that are no ASCII included: `get` would replace them.
    fields = (value for key, value in message.raw_items() if key.lower() == name.lower())
    text = str(next(fields, ""))[:_MAX_FIELD_CHARACTERS]
    try:
        parts = email.header.decode_header(text)
    except (email.errors.HeaderParseError, ValueError, UnicodeError):
        return one_line(text)
    return one_line("".join(_word(word, charset) for word, charset in parts))


def _word(word: str | bytes, charset: str | None) -> str:
    if isinstance(word, str):
        word = word.encode("utf-8", "surrogateescape")
    if charset and charset.lower() != "unknown-8bit":
        try:
            return word.decode(charset)
        except (UnicodeError, LookupError):
            pass
    try:
        return decode(word)[0] if word else ""
    except UnparsableError:
        return word.decode("latin-1")


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename() or ""
    except (ValueError, LookupError, TypeError):
        name = ""
    if "=?" in name:
        try:
            name = "".join(
                _word(word, charset) for word, charset in email.header.decode_header(name)
            )
        except (email.errors.HeaderParseError, ValueError, UnicodeError):
            name = one_line(name)
    name = one_line(name).replace("\\", "/").rpartition("/")[2]
    return name[:200] or "unnamed"


def _says_the_same(plain: str, rich: str) -> bool:
    known = set(_words(rich))
    words = list(_words(plain))
    if not words:
        return True
    return sum(word in known for word in words) / len(words) >= _SHARED_WORDS


def _words(text: str) -> Iterator[str]:
    return (found[0].lower() for found in re.finditer(r"\w{2,}", text))
