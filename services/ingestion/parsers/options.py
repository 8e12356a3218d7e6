"""What parsers may be told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OcrHook:
    """Reads the text off a page image; at most one of the two is set."""

    command: tuple[str, ...] = ()
    """Program that takes a PNG on standard input and prints its text."""
    entry_point: str = ""
    """`package.module:function`: takes the PNG's bytes and the page number, returns text."""

    def __bool__(self) -> bool:
        """Whether there is a hook."""
        return bool(self.command or self.entry_point)


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """What is told to the parser of one file."""

    ocr: OcrHook = field(default_factory=OcrHook)
    depth: int = 0
    """How many messages are around this file."""
