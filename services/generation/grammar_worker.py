"""Compiles what others send, in a process that may be lost.

`python -m services.generation.grammar_worker` reads lines of JSON: the tokenizer, then a grammar
each. It answers each with a line: what is wrong with the grammar, an empty text for nothing. A
grammar that takes too much time or memory ends the process, which says so, too.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from typing import Any

from services.rpc.orphan_guard import die_with_front

_MEMORY_BYTES = 4 * 2**30
"""Of address space: the tokenizer of a large vocabulary takes some hundred MB of it."""


def main() -> None:
    """Answers until its input ends."""
    die_with_front()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    import llguidance  # noqa: PLC0415 - of the vLLM environment # pyright: ignore[reportMissingImports]

    told = json.loads(sys.stdin.readline())
    tokenizer = llguidance.LLTokenizer(
        told["tokenizer"], n_vocab=told["vocabulary"], eos_token=told["end"]
    )
    _say("")
    for line in sys.stdin:
        wanted = json.loads(line)
        # Counts processor time, so that a busy machine makes no grammar worse; its end is a signal.
        signal.setitimer(signal.ITIMER_PROF, told["seconds"])
        problem = _problem(llguidance, tokenizer, wanted["form"], wanted["text"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(problem)


def _problem(llguidance: Any, tokenizer: Any, form: str, text: str) -> str:
    try:
        if form == "json_schema":
            grammar = llguidance.LLMatcher.grammar_from_json_schema(
                text, defaults={"whitespace_flexible": False}
            )
        else:
            grammar = llguidance.grammar_from(form, text)
        matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
        if not matcher.get_error():
            # Some show only with the first token that nothing can follow, or that there is no end.
            allowed = int.from_bytes(matcher.compute_bitmask(), "little")
            if allowed:
                matcher.consume_token((allowed & -allowed).bit_length() - 1)
                matcher.compute_ff_tokens()
        return matcher.get_error() or ""
    except Exception as error:  # noqa: BLE001 - foreign code about foreign text
        return str(error) or type(error).__name__


def _say(text: str) -> None:
    sys.stdout.write(json.dumps(text) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
