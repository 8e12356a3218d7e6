"""Things that must not be found where they do not belong, each recognisable wherever it is."""

from __future__ import annotations

import base64
import random
import string
import urllib.parse

_LETTERS = string.ascii_lowercase


class Canaries:
    """Makes secrets and personal data that never were in the world before, and finds them again.

    Args:
        seed: Of what is made.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.released: dict[str, str] = {}
        """Each by what must be searched for, with where it was let go."""

    def make(self, where: str) -> str:
        """Returns a text with a canary in it, to be put `where`.

        Its core is a run of letters that no other text has, so that it is found though the rest is
        cut or changed.
        """
        core = "".join(self._random.choices(_LETTERS, k=14))
        self.released[core] = where
        digits = "".join(self._random.choices(string.digits, k=9))
        kinds = (
            f"{core}@example.org",
            f"Frau {core} wohnt in der {core}gasse 7",
            f"+49 30 {digits} {core}",
            f"crn_{core}{digits}",
            f"AKIA{core.upper()}{core}",
            f"eyJhbGciOiJIUzI1NiJ9.{core}.{core}",
            f"password={core}!",
            f"DE{digits} {core}",
            f"-----BEGIN PRIVATE KEY-----{core}",
        )
        return self._random.choice(kinds)

    def found_in(self, text: str) -> set[str]:
        """Returns where the canaries were let go that a text shows, plain or encoded."""
        folded = text.lower()
        return {
            where
            for core, where in self.released.items()
            if core in folded
            or urllib.parse.quote(core) in folded
            or base64.b64encode(core.encode()).decode().rstrip("=")[2:-2] in text
            or core.encode().hex() in folded
        }
