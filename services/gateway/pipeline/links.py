"""What an answer may point at: nothing that a reader's program would fetch by itself.

A model that follows instructions in a document can write what it read into the address of an image;
showing the answer then sends it away. So images lose their sign, links to foreign hosts keep their
text only, and addresses that stand neither in the passages nor in the request are left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import urlsplit

REMOVED = "‹link removed›"
"""Stands for an address that nobody gave."""

_LONGEST = 2_048
"""Characters that are held back for the end of an address."""
_LONGEST_TAG = 512
"""Held back for the end of a tag; one that goes on loses its first sign, and is none."""

_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SCHEMES = ("https", "http", "ftp", "file", "data", "javascript", "vbscript", "blob", "ws", "wss")
_SCHEME = rf"(?<![A-Za-z])(?:{'|'.join(_SCHEMES)}):"
_URL_END = r"[^\s!<>\"'`|\\^{}\[\]()（）。，、；：！？」』”’]"
_WEB = "(?:https?|ftp|wss?)://"
_URL = rf"(?:{_WEB}|{_SCHEME}(?://)?){_URL_END}+"
_TAG_NAMES = (
    "a|applet|area|audio|base|body|button|embed|form|frame|frameset|head|html|iframe|image|img|input|"
    "link|math|meta|object|picture|script|source|style|svg|template|textarea|track|video"
)
_TARGET = r"\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)"
_UNSAFE = re.compile(
    r"(?P<image>!+(?=\[(?!\s{0,3}\d{1,3}\s{0,3}\](?!\())))"  # "Yes![1]" is a marker
    rf"|\](?P<target>{_TARGET})"
    rf"|(?P<tag></?(?:{_TAG_NAMES})(?![\w-])[^>]*>)"
    rf"|(?P<url>{_URL})",
    re.IGNORECASE,
)
_TAG_BEGINS = re.compile(r"</?[A-Za-z]{0,10}\Z")
_OPEN_TAG = re.compile(rf"<(/?(?:{_TAG_NAMES})(?![\w-]))", re.IGNORECASE)
_PREFIXES = "|".join(
    sorted({f"{each}:"[:size] for each in _SCHEMES for size in range(1, len(each) + 2)})
)
_UNFINISHED = re.compile(
    r"(?:!+(?:\[\s{0,3}(?:\d{1,3}\s{0,3}\]?)?)?"
    rf"|\](?:(?!{_TARGET})\([^\n]{{0,{_LONGEST}}})?"
    rf"|</?(?:[A-Za-z]{{0,9}}|(?:{_TAG_NAMES})(?![\w-])[^>]{{0,{_LONGEST_TAG}}})"
    rf"|(?:{_WEB}|{_SCHEME}(?://?)?){_URL_END}{{0,{_LONGEST}}}"
    r"|(?:h(?:t(?:t(?:ps?)?)?)?|ft?p?|ws{0,2})|(?:https?|ftp|wss?):/?"
    rf"|(?<![A-Za-z])(?:{_PREFIXES}))\Z",
    re.IGNORECASE,
)
"""The end of a text that may become something unsafe with what follows."""

_FIRST_WORD = re.compile(r"\]\(\s*(\S+)\s")
_LETTER = "a"
"""Stands for the letter before what comes next: no scheme begins with it."""
_URL_TAIL = ".,;:!?…"
_LONGEST_BEGINNING = 32
"""Characters of what may become a scheme, an image or a link, at most."""


def without_invisible(text: str) -> str:
    """Returns text without characters that show nothing but steer programs or hide words."""
    return _INVISIBLE.sub("", text) if not text.isascii() or _INVISIBLE.search(text) else text


class LinkGuard:
    """Makes a text that comes in pieces safe to show.

    Args:
        texts: What was given to read: addresses that stand there may stand in the answer.
        uris: Where the passages come from: links to their hosts stay links.
    """

    def __init__(self, texts: Iterable[str] = (), uris: Iterable[str] = ()) -> None:
        self._known = frozenset(
            _bare(match.group())
            for text in texts
            if ":" in text
            for match in re.finditer(_URL, text, re.IGNORECASE)
        )
        self._hosts = frozenset(host for uri in uris if (host := _host(uri)))
        self._held = ""
        self._lead = ""
        self.removed = 0
        """Images, links, tags and addresses that were taken out."""

    def feed(self, text: str) -> str:
        """Takes a piece and returns what can be shown; what may become unsafe is held back."""
        text = self._lead + self._held + without_invisible(text)
        cut = _safe_cut(text)
        self._held = text[cut:]
        return self._safe(text[:cut])

    def holds(self, text: str) -> bool:
        """Whether `text` is held back."""
        return text in self._held

    def finish(self) -> str:
        """Returns what was held back."""
        held, self._held = self._lead + self._held, ""
        return self._safe(held)

    def _safe(self, text: str) -> str:
        """Returns a text that begins with the lead as it can be shown, without it."""
        safe = _UNSAFE.sub(self._replaced, text) if _may_be_unsafe(text) else text
        safe = _OPEN_TAG.sub(r"‹\1", safe)[len(self._lead) :]
        if text:
            # No scheme begins inside a word: "metadata:" holds no address.
            self._lead = _LETTER if text[-1].isascii() and text[-1].isalpha() else ""
        return safe

    def _replaced(self, match: re.Match[str]) -> str:
        if match["url"]:
            return self._address(match["url"])
        if match["target"]:
            target = match["target"][1:-1].strip()
            if self._may_link(target):
                return match.group()
            if not _looks_like_address(target):
                return "]" + _UNSAFE.sub(self._replaced, match["target"])
            self.removed += 1
            return "]"
        self.removed += 1
        return " " if match["tag"] else ""  # what stood around a tag must not close up

    def _address(self, url: str) -> str:
        bare = _bare(url)
        if bare in self._known or (_host(bare) in self._hosts and not urlsplit(bare).query):
            return url
        self.removed += 1
        return REMOVED + url[len(bare) :]

    def _may_link(self, target: str) -> bool:
        parts = target.split()
        if not parts:
            return False
        bare = parts[0].strip("<>")
        return bool(self._hosts) and _host(bare) in self._hosts and not urlsplit(bare).query


def _safe_cut(text: str) -> int:
    """Returns where what may become unsafe begins; never inside of what is unsafe already."""
    unsafe = [match.span() for match in _UNSAFE.finditer(text)] if _may_be_unsafe(text) else []
    place = _first_unfinished(text)
    while found := _UNFINISHED.search(text, place):
        inside = [end for start, end in unsafe if start < found.start() < end]
        if not inside and _is_prose(found.group()):
            place = found.start() + 1
        elif not inside:
            begun = _TAG_BEGINS.search(text, 0, found.start())
            return begun.start() if begun else found.start()
        else:
            place = inside[0]
    return len(text)


def _may_be_unsafe(text: str) -> bool:
    """Whether a text has what each unsafe form has: looking for that takes no time."""
    return ":" in text or "<" in text or "](" in text or "![" in text


def _first_unfinished(text: str) -> int:
    """Returns a place before which nothing begins that may become unsafe.

    Only links, tags and runs of "!" may be long and hold spaces; an address has none, and the
    beginnings of all others are short.
    """
    if "](" in text or "<" in text or "!" in text:
        return 0
    word = 1 + max(text.rfind(" "), text.rfind("\n"))
    return max(0, min(word, len(text) - _LONGEST_BEGINNING))


def _is_prose(begun: str) -> bool:
    """Whether what stands behind "](" points at nothing, however it ends: words, as of a remark."""
    first = _FIRST_WORD.match(begun)
    return first is not None and not _looks_like_address(first[1])


def _bare(url: str) -> str:
    return url.rstrip(_URL_TAIL)


def _looks_like_address(target: str) -> bool:
    first = unicodedata.normalize("NFKC", target).lstrip("<").lower()
    return bool(re.match(r"(?:[a-z][a-z0-9+.-]*:|//|\\\\|/|\.{0,2}/|#|\?|www\.)", first))


def _host(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    return (parts.hostname or "") if parts.scheme in {"http", "https"} else ""
