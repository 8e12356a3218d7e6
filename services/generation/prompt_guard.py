"""Takes repetitions of the instructions out of an answer while it is written.

A document or a question may bring a model to say what it was told. Whatever repeats so many words
of its instructions on end is left out; an answer has no other reason to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING

from services.generation import metrics
from services.generation.engine import Delta, GenerationRequest, Role
from services.generation.extractive_engine import ExtractiveEngine
from services.generation.prompt import find_template

if TYPE_CHECKING:
    from services.generation.chain import ChainEvent

REPEATED_WORDS = 8
"""Words on end that count as a repetition: the refusal, which engines are told to say, has 7."""

_HELD_WORDS = 3
"""Words on end from which text is held back until it is clear whether it goes on that way."""

_PART = re.compile(r"\w+|\W+")
_WORD = re.compile(r"\w+")


class PromptGuard:
    """Copies a text that comes in pieces, without what repeats some other texts.

    Args:
        secrets: What must not be repeated.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        # An empty word between texts: no run goes over from one to the next.
        self._words = [
            word for text in secrets for word in (*_WORD.findall(text.casefold()), "")
        ] + [""]
        self._places: dict[str, list[int]] = {}
        for place, word in enumerate(self._words):
            if word:
                self._places.setdefault(word, []).append(place)
        self._held = ""
        self._word = ""
        self._shown_of_word = 0
        self._run = 0
        self._at: list[int] = []
        self.count = 0
        """Repetitions that were left out."""

    def feed(self, text: str) -> str:
        """Takes a piece and returns what can be shown."""
        shown: list[str] = []
        for part in _PART.findall(text):
            if part[0].isalnum() or part[0] == "_":
                self._word += part
            else:
                shown.append(self._end_word())
                self._held += "" if self._run >= REPEATED_WORDS else part
        if self._run < _HELD_WORDS:
            shown.append(self._held)
            self._held = ""
        if self._run < _HELD_WORDS - 1:  # else the word may be the one from which text is held
            shown.append(self._word[self._shown_of_word :])
            self._shown_of_word = len(self._word)
        return "".join(shown)

    def finish(self) -> str:
        """Returns what was held back."""
        shown = self._end_word()
        held, self._held = self._held, ""
        return shown + held

    def _end_word(self) -> str:
        """Takes the word that has come to its end; returns what can be shown now."""
        if not self._word:
            return ""
        word, unseen = self._word.casefold(), self._word[self._shown_of_word :]
        self._word, self._shown_of_word = "", 0
        following = [place + 1 for place in self._at if self._words[place + 1] == word]
        shown = ""
        if following:
            self._run, self._at = self._run + 1, following
        else:
            # Another run may begin with this word; what was held back is none.
            shown, self._held = self._held, ""
            self._at = self._places.get(word, [])
            self._run = 1 if self._at else 0
        if self._run < REPEATED_WORDS:
            self._held += unseen
        else:
            self.count += self._run == REPEATED_WORDS
            self._held = ""
        return shown


def may_repeat(engine: str, request: GenerationRequest) -> bool:
    """Whether an engine's answer is looked through: it was given passages and writes by itself.

    Words inside JSON or a choice cannot be left out without breaking their form.
    """
    is_free = request.structured_output is None
    return bool(request.passages) and is_free and engine != ExtractiveEngine.name


async def guarded(
    events: AsyncGenerator[ChainEvent], request: GenerationRequest
) -> AsyncGenerator[ChainEvent]:
    """Yields an answer from passages without repetitions of its instructions.

    Args:
        events: What an engine says; closed with the generator.
        request: What it was asked.
    """
    secrets = [each.content for each in request.messages if each.role is Role.SYSTEM]
    secrets.append(find_template(request.prompt_template).system)
    guard = PromptGuard(secrets)
    shown: list[str] = []
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Delta):
                shown.append(guard.feed(event.text))
                yield dataclasses.replace(event, text=shown[-1])
                continue
            outcome = getattr(event, "outcome", None)
            if outcome is not None:
                if not shown:  # it comes as a whole
                    shown.append(guard.feed(outcome.text))
                shown.append(guard.finish())
                if shown[-1] and request.stream:
                    yield Delta(shown[-1])
                if guard.count:
                    metrics.PROMPT_REPEATS.inc(guard.count)
                    outcome = dataclasses.replace(
                        outcome, text="".join(shown), left_out_repeats=guard.count
                    )
                    event = dataclasses.replace(event, outcome=outcome)  # noqa: PLW2901 - the changed event goes on
            yield event
