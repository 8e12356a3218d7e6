"""Patterns that look only where they can match find what they would find everywhere."""

from __future__ import annotations

import random
import re

import pytest

from services.gateway.pipeline import untrusted
from services.gateway.pipeline.needles import Needled, needles_of
from tests.kit.injections import ATTACKS


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        (r"\bcite\w*\b", (("cite",),)),
        (r"(?:reveal|show)\b.{0,9}\bkey", (("key",), ("reveal", "show"))),
        (r"(?:ab|cd)?ef", (("ef",),)),
        (r"(?:ab)+x", (("ab",),)),
        (r"(?:ab)*x", ()),
        (r"ab|c", ()),
        (r"a[bc]d", ()),
        (r"(?:ab|c\w)d", ()),
        (r"(?i:ab)cd", (("cd",),)),
        (r"(?!no)yes(?<=es)", (("yes",),)),
    ],
)
def test_what_a_match_must_hold_is_read_off_the_pattern(pattern: str, needed: object):
    assert needles_of(pattern) == needed


@pytest.mark.parametrize("name", untrusted.SIGNALS[:-1])
def test_signs_are_found_as_by_the_bare_patterns(name: str):
    sign = untrusted._PATTERNS[name]
    bare = re.compile("|".join(f"(?:{part.pattern})" for _, part in sign._parts))
    texts = [each.text.lower() for each in ATTACKS]
    words = " ".join(texts).split(" ")
    chosen = random.Random(7)
    texts += [" ".join(chosen.choices(words, k=40)) for _ in range(300)]
    found = [sign.is_in(text) for text in texts]
    assert found == [bool(bare.search(text)) for text in texts]
    assert any(found)
    assert not all(found)


def test_nothing_is_found_without_a_pattern():
    assert not Needled(()).is_in("anything")
