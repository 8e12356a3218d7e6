"""What parsers may be told, and how their process says that it had to give up."""

from __future__ import annotations

from dataclasses import dataclass, field

OUT_OF_MEMORY_STATUS = 77
"""How the process ends when it has not even the memory to say so."""


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
