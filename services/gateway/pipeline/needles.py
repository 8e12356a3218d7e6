"""Patterns that look through a text only where it holds what they cannot match without.

A pattern of many words tries them all at each place of a text; whether a text holds a word at all
is told a hundred times as fast. Which words those are is read off the pattern itself.

Python has no public way to a pattern's parts: the module that `re` itself reads them with is public
by name in no version (`sre_parse` is deprecated, and was not documented either). What it does not
tell any more, or tells otherwise, asks for nothing, and tests compare with the bare patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from re import _constants as codes  # pyright: ignore[reportAttributeAccessIssue] - see above
from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue] - as above
from typing import Any

_SHORTEST = 2
"""Characters of a text that is worth looking for."""

Needles = tuple[tuple[str, ...], ...]
"""Groups of texts: what matches holds at least one of each group."""


class Needled:
    """Several patterns as one, without flags.

    Args:
        patterns: Any of them is to be found.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._parts = [(needles_of(each), re.compile(each)) for each in patterns]

    def is_in(self, text: str) -> bool:
        """Whether any of the patterns is found in a text."""
        for needles, pattern in self._parts:
            for group in needles:
                if not any(each in text for each in group):
                    break
            else:
                if pattern.search(text):
                    return True
        return False


def needles_of(pattern: str) -> Needles:
    """Returns what a text must hold for the pattern to match: the smallest groups first."""
    groups = _needed(parser.parse(pattern))
    return tuple(sorted((tuple(sorted(each)) for each in groups), key=len))


def _needed(items: Iterable[tuple[Any, Any]]) -> list[frozenset[str]]:
    """Returns groups of texts of a parsed sequence; what is not understood asks for nothing."""
    groups: list[frozenset[str]] = []
    run = ""
    for code, value in [*items, (None, None)]:
        if code is codes.LITERAL:
            run += chr(value)
            continue
        if code is codes.AT:  # takes no character
            continue
        if len(run) >= _SHORTEST:
            groups.append(frozenset((run,)))
        run = ""
        if code is codes.SUBPATTERN and not value[1]:  # flags of its own could ignore case
            groups += _needed(value[-1])
        elif code is codes.BRANCH:
            groups += _of_any([_needed(each) for each in value[1]])
        elif code in {codes.MAX_REPEAT, codes.MIN_REPEAT} and value[0] > 0:
            groups += _needed(value[2])
    return groups


def _of_any(branches: Sequence[Sequence[frozenset[str]]]) -> list[frozenset[str]]:
    """Returns what one of several branches needs: of each the group that says most."""
    if not all(branches):
        return []
    best = [max(each, key=lambda group: (min(map(len, group)), -len(group))) for each in branches]
    return [frozenset().union(*best)]
