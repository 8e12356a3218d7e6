"""Which language a question is in: by its script, then by its commonest words.

Questions are short, so that one telling word decides: a word counts for a language by one over the
number of languages that have it. Too few of them give no language rather than a wrong one.
"""

from __future__ import annotations

import re
from collections import Counter

_WORDS = {
    "en": "the of and to in is that for it with as was on are from which what who how why when "
    "where does did do can has have should would whose many much were a an",
    "de": "der die das und ist nicht mit von den zu ein eine auf für dem des im wer wie was wann "
    "wo warum welche welcher welches werden wird wurde sind hat haben kann kein viele ich man wir "
    "sie darf oft",
    "fr": "le la les des et est une un dans pour que qui pas sur avec sont par au du ce quel "
    "quelle quels quelles comment pourquoi où quand combien quoi fait ont été de il elle on je "
    "nous vous",
    "es": "el los las una un y es en que por con para del se no su como qué quién cómo cuándo "
    "dónde cuál cuáles cuántos cuánto cuántas fue son está hay la de",
    "it": "il di che è per un una non con del della sono le gli come quando dove perché chi quale "
    "quali quanto quanti cosa nel si da alla è stato ha la",
    "pt": "o os as uma um em que não com para por do da dos das qual quais quem como quando onde "
    "quantos quanto foi são está é porque de",
    "nl": "de het een en van is dat niet op te zijn voor met die wat wie hoe waar wanneer waarom "
    "welke hoeveel werd wordt worden heeft kan in",
    "sv": "och att det som en på är av för med den till inte vad vem hur var när varför vilken "
    "vilka vilket hade har ett många i",
    "da": "og at det som en på er af for med den til ikke hvad hvem hvordan hvor hvornår hvorfor "
    "hvilken hvilke har et mange i",
    "no": "og at det som en på er av for med den til ikke hva hvem hvordan hvor når hvorfor "
    "hvilke har et mange i",
    "fi": "ja on ei se että mikä mitä kuka miten missä milloin miksi kuinka monta oli ovat ole "
    "mitkä minkä",
    "pl": "i w na nie się z do jest to że co kto jak gdzie kiedy dlaczego który która które ile "
    "czy był była są",
    "cs": "a v na se je že s z do co kdo jak kde kdy proč který která které kolik byl byla jsou",
    "hu": "a az és hogy nem is egy mi ki hol mikor miért hogyan melyik hány volt van mit kik",
    "ro": "și în de la cu a nu este pe că ce cine cum unde când care câți câte sunt fost un o",
    "tr": "ve bir bu da de için ne kim nasıl nerede zaman neden hangi kaç mi mı mu mü olan ile var",
}
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {}
for _language, _text in _WORDS.items():
    for _word in set(_text.split()):
        _LANGUAGES_OF[_word] = (*_LANGUAGES_OF.get(_word, ()), _language)

_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    (0x0041, 0x024F, ""),
    (0x0370, 0x03FF, "el"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0530, 0x058F, "hy"),
    (0x0590, 0x05FF, "he"),
    (0x0600, 0x077F, "arabic"),
    (0x0900, 0x097F, "hi"),
    (0x0980, 0x09FF, "bn"),
    (0x0B80, 0x0BFF, "ta"),
    (0x0E00, 0x0E7F, "th"),
    (0x10A0, 0x10FF, "ka"),
    (0x1100, 0x11FF, "ko"),
    (0x1E00, 0x1EFF, ""),
    (0x3040, 0x30FF, "ja"),
    (0x3400, 0x9FFF, "zh"),
    (0xAC00, 0xD7AF, "ko"),
)
_LEAST_SCORE = 0.75
_LEAST_LEAD = 1.2
_SAMPLE_CHARACTERS = 2_000

LANGUAGES = tuple(
    sorted({*_WORDS, *(n for *_, n in _SCRIPTS if len(n) == 2), "ar", "fa", "ru", "uk"})
)
"""Codes that `language_of` may return."""


def language_of(text: str) -> str:
    """Returns the language by its ISO 639-1 code; empty when it cannot be told."""
    sample = text[:_SAMPLE_CHARACTERS].lower()
    if not sample.isascii():
        scripts = Counter(
            name
            for character in sample
            if character.isalpha()
            for first, last, name in _SCRIPTS
            if first <= ord(character) <= last
        )
        script = max(scripts, key=scripts.__getitem__, default="")
        if script == "cyrillic":
            return "uk" if set("іїєґ") & set(sample) and not set("ыэъ") & set(sample) else "ru"
        if script == "arabic":
            return "fa" if set("پچژگکی") & set(sample) else "ar"
        if script == "zh" and scripts["ja"]:
            return "ja"  # written with Chinese characters, too
        if script:
            return script
    return _latin(sample)


def _latin(sample: str) -> str:
    weights: dict[str, float] = {}
    for word in dict.fromkeys(_WORD.findall(sample)):
        languages = _LANGUAGES_OF.get(word, ())
        for language in languages:
            weights[language] = weights.get(language, 0.0) + 1 / len(languages)
    ranked = sorted(weights.items(), key=lambda item: -item[1])
    if not ranked or ranked[0][1] < _LEAST_SCORE:
        return ""
    if len(ranked) > 1 and ranked[0][1] < _LEAST_LEAD * ranked[1][1]:
        return ""
    return ranked[0][0]
