"""Globs on paths, without regular expressions: no pattern can make matching slow.

`*` stays within a folder, `**` as a whole part of the path crosses folders, `?` is one character,
`[a-c]` one of a set. A pattern without `/` is matched against the name alone.
"""

from __future__ import annotations

import functools
from typing import TypeAlias

_Sign: TypeAlias = str | tuple[bool, frozenset[tuple[str, str]]]
"""`*`, `?`, an escaped character as `\\x`, or a set: whether it is negated, and its ranges."""

MAX_PATTERN_CHARACTERS = 512


def matches(pattern: str, path: str) -> bool:
    """Returns whether a path matches; `/` separates its parts."""
    if "/" not in pattern:
        return _part_matches(_signs(pattern), path.rpartition("/")[2])
    wanted, parts = pattern.lstrip("/").split("/"), path.split("/")
    # reachable[i]: the parts seen so far can be matched by the first i parts of the pattern.
    reachable = _closure({0}, wanted)
    for part in parts:
        following = set()
        for place in reachable:
            if place == len(wanted):
                continue
            if wanted[place] == "**":
                following.add(place)
            elif _part_matches(_signs(wanted[place]), part):
                following.add(place + 1)
        reachable = _closure(following, wanted)
        if not reachable:
            return False
    return len(wanted) in reachable


def _closure(places: set[int], wanted: list[str]) -> set[int]:
    """Adds what is reached by letting `**` stand for nothing."""
    reached = set(places)
    for place in sorted(places):
        following = place
        while following < len(wanted) and wanted[following] == "**":
            following += 1
            reached.add(following)
    return reached


def _part_matches(signs: tuple[_Sign, ...], text: str) -> bool:
    """Matches one part: on a mismatch the last `*` takes one character more."""
    at, place = 0, 0
    star, resume = -1, 0
    while at < len(text):
        if place < len(signs) and signs[place] == "*":
            star, resume = place, at
            place += 1
        elif place < len(signs) and _one_matches(signs[place], text[at]):
            at, place = at + 1, place + 1
        elif star >= 0:
            resume += 1
            at, place = resume, star + 1
        else:
            return False
    return all(sign == "*" for sign in signs[place:])


def _one_matches(sign: _Sign, character: str) -> bool:
    if isinstance(sign, tuple):
        is_negated, ranges = sign
        return is_negated != any(first <= character <= last for first, last in ranges)
    return sign == "?" or sign == "\\" + character


@functools.lru_cache(maxsize=1024)
def _signs(part: str) -> tuple[_Sign, ...]:
    signs: list[_Sign] = []
    at = 0
    while at < len(part):
        character = part[at]
        if character == "[" and (end := part.find("]", at + 2)) > 0:
            signs.append(_set(part[at + 1 : end]))
            at = end + 1
            continue
        if character == "*":
            if not signs or signs[-1] != "*":
                signs.append("*")
        else:
            signs.append("?" if character == "?" else "\\" + character)
        at += 1
    return tuple(signs)


def _set(inside: str) -> tuple[bool, frozenset[tuple[str, str]]]:
    is_negated = inside[0] in "!^"
    inside = inside[1:] if is_negated else inside
    ranges, at = set(), 0
    while at < len(inside):
        if at + 2 < len(inside) and inside[at + 1] == "-":
            ranges.add((inside[at], inside[at + 2]))
            at += 3
        else:
            ranges.add((inside[at], inside[at]))
            at += 1
    return is_negated, frozenset(ranges)
