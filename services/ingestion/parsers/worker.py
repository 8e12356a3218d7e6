"""The process that parses: one document after the other, under limits it cannot raise again.

It reads frames from standard input and answers on standard output: a length, a JSON header, and
the bytes of the documents that the header announces. It is started by `sandbox.py` and knows no
secrets.
"""

from __future__ import annotations

import json
import math
import os
import resource
import struct
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any, BinaryIO

from services.ingestion.parsers.confinement import confine
from services.ingestion.parsers.dispatch import parse
from services.ingestion.parsers.options import OUT_OF_MEMORY_STATUS, OcrHook, ParseOptions
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError, to_plain

_OUT_OF_MEMORY = {
    "reason": "PARSE_OUT_OF_MEMORY",
    "message": "the document needs more memory to parse than it may have",
}
_MEASURED_SECONDS = 0.02
"""The memory in use is looked at after so much processor time."""
_MAX_BLOCKS = 500_000


def main() -> int:
    """Parses until standard input ends."""
    try:
        return _serve()
    except MemoryError:
        os._exit(OUT_OF_MEMORY_STATUS)


def _serve() -> int:
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # A library that prints must not break the conversation.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    confine(int(sys.argv[1]))
    measured_at = 0.0
    peak_rss_bytes = 0
    while True:
        size = requests.read(4)
        if len(size) < 4:
            return 0
        header = json.loads(requests.read(struct.unpack(">I", size)[0]))
        _limit_cpu(header["cpu_seconds"])
        outcomes: list[dict[str, Any]] = []
        texts: list[bytes] = []
        for content_type, size_bytes in header["documents"]:
            data = requests.read(size_bytes)
            if len(data) < size_bytes:
                return 0
            outcome, text = _outcome(header, content_type, data)
            del data
            outcomes.append(outcome)
            texts.append(text)
        answer: dict[str, Any] = {"documents": outcomes}
        if time.process_time() - measured_at > _MEASURED_SECONDS:
            # Not after each: reading the figure takes longer than parsing a short document.
            measured_at, peak_rss_bytes = time.process_time(), _peak_rss_bytes()
        answer["peak_rss_bytes"] = peak_rss_bytes
        _send(answers, answer, texts)


def _limit_cpu(seconds: float) -> None:
    """Lets the kernel end the process after so much more processor time."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _outcome(
    header: dict[str, Any], content_type: str, data: bytes
) -> tuple[dict[str, Any], bytes]:
    try:
        parsed = parse(data, content_type, _options(header))
        text = _checked(parsed, header["max_characters"]).encode()
    except UnparsableError as error:
        return {"reason": error.reason, "message": error.message}, b""
    except MemoryError:
        return dict(_OUT_OF_MEMORY), b""
    except RecursionError:
        return {"reason": "PARSE_FAILED", "message": "the document is nested too deeply"}, b""
    except Exception as error:  # noqa: BLE001 - whatever a library raises concerns this file only
        if _peak_rss_bytes() > int(sys.argv[1]) / 2:
            # Libraries have names of their own for an allocation that failed.
            return dict(_OUT_OF_MEMORY), b""
        kind = type(error).__name__
        return {"reason": "PARSE_FAILED", "message": f"the parser gave up ({kind})"}, b""
    return {"parsed": to_plain(parsed), "text_bytes": len(text)}, text


def _peak_rss_bytes() -> int:
    # Not `ru_maxrss`: it counts what the starting process had before the exec.
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _options(header: dict[str, Any]) -> ParseOptions:
    return ParseOptions(
        OcrHook(tuple(header.get("ocr_command", ())), header.get("ocr_entry_point", ""))
    )


def _checked(parsed: ParsedDocument, max_characters: int) -> str:
    if not parsed.blocks or not any(map(_is_visible, parsed.text)):
        raise UnparsableError("EMPTY_TEXT", "the file holds no text")
    if len(parsed.text) > max_characters:
        raise UnparsableError(
            "TOO_LARGE",
            f"the document has {len(parsed.text)} characters of text, {max_characters} are "
            "allowed; split it",
        )
    if len(parsed.blocks) > _MAX_BLOCKS:
        raise UnparsableError("TOO_LARGE", "the document has too many parts; split it")
    return parsed.text


def _is_visible(char: str) -> bool:
    """Whether a character is more than a space, a control or a mark of no width."""
    return unicodedata.category(char)[0] not in "ZC"


def _send(answers: BinaryIO, header: dict[str, Any], texts: list[bytes]) -> None:
    encoded = json.dumps(header).encode()
    answers.write(struct.pack(">I", len(encoded)))
    answers.write(encoded)
    answers.writelines(texts)
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
