"""Texts from a fixed seed, of words that a tokenizer splits as it splits prose."""

from __future__ import annotations

import json
import random
from pathlib import Path

_PROSE = """
the of and to in a is that for it as was with be by on not he his but at are this have from or
had an they which one you were all her she there would their we him been has when who will no
more if out so up said what its about than into them can only other time new some could these
two may first then do any like my now over such our man even most made after also did many
before must through years where much your way well down should because each just those people
how too little state good very make world still see own men work long here get both between life
being under three never know same last another while us off might great go come since against
right came take used himself few house use place during high without again home around small
however found mrs thought went say part once general upon school every does war united left
number course until always away something fact water though less public put think almost hand
enough took far head yet government system set better night told nothing give later sedimentary
metamorphic granite continental lithosphere photosynthesis electromagnetic parliamentary
infrastructure archaeological unprecedented biodiversity constitutional manufacturing
"""
_WORDS = _PROSE.split()
_NAMES = """
orthopyroxene Quetzalcoatlus Wolframite magnetohydrodynamics Neuschwanstein Tlaxcaltec
gastroenterology Liechtensteiner phosphorylated Xanthophyllite Krzyzewski hypochlorite
palaeoclimatology Yellowknife Dzungarian isoelectronic Mpumalanga thrombocytopenia Ljubljana
"""
_RARE_WORDS = _NAMES.split()
_RARE_SHARE = {"passage": 0.085, "query": 0.245}
"""Of words that split into several pieces: a passage then has about 152 tokens, a query 17.7."""


def passages(count: int, seed: int) -> list[str]:
    """Returns texts of 30 to 200 words."""
    return _texts(count, 30, 200, seed, _RARE_SHARE["passage"])


def queries(count: int, seed: int) -> list[str]:
    """Returns texts of 5 to 12 words."""
    return _texts(count, 5, 12, seed, _RARE_SHARE["query"])


def questions(path: Path, count: int, seed: int) -> list[str]:
    """Returns questions that people asked, of 5 to 12 words; none where the file is missing.

    Args:
        path: JSON lines with a `text` each.
        count: How many at most.
        seed: Of the choice.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    fitting = [text for text in texts if 5 <= len(text.split()) <= 12]
    return random.Random(seed).sample(fitting, min(count, len(fitting)))


def _texts(count: int, least: int, most: int, seed: int, rare_share: float) -> list[str]:
    chosen = random.Random(seed)
    return [
        " ".join(
            chosen.choice(_RARE_WORDS if chosen.random() < rare_share else _WORDS)
            for _ in range(chosen.randint(least, most))
        )
        for _ in range(count)
    ]
