"""Which language a text is in: by its script, then by its commonest words.

Each language has about thirty of its most frequent function words. A word counts for a language by
one over the number of languages that have it, so that "de" says little and "für" much. Texts with
too few of them get no language rather than a wrong one.
"""

from __future__ import annotations

import re
from collections import Counter

_SAMPLE_CHARACTERS = 20_000
_MIN_LETTERS = 12
_MIN_WORDS = 8
_MIN_SHARE = 0.04
_MIN_LEAD = 1.15
"""The best language must score so much more than the next."""

_WORDS = {
    "en": "the of and to in is that for it with as was on be at by this are from or which not "
    "have has an they you we can will their",
    "de": "der die das und ist nicht mit von den zu ein eine auf für dem des im sich auch als wird "
    "sind werden bei aus nach oder wie einer über",
    "fr": "le la les des et est une dans pour que qui pas sur avec sont par au du ce il plus ne se "
    "aux cette ou leur nous être",
    "es": "el los las una y es en que por con para del se no su como más al lo pero sus este esta "
    "ha son también hay entre",
    "it": "il di che è per un una non con del della sono le gli nel si da alla anche come più dei "
    "delle questo ma lo ha dalla",
    "pt": "o os as uma é em que não com para por do da dos das no na se mais como ao ou também são "
    "foi pelo pela seu",
    "nl": "de het een en van is dat niet op te zijn voor met die aan er ook als door wordt naar "
    "bij om of deze worden maar uit",
    "sv": "och att det som en på är av för med den till inte har om ett var jag från eller vid "
    "kan så men också sig",
    "da": "og at det som en på er af for med den til ikke har om et der jeg fra eller ved kan blev "
    "men også sig hvor",
    "no": "og at det som en på er av for med den til ikke har om et jeg fra eller ved kan ble men "
    "også seg hvor etter",
    "fi": "ja on ei se että oli hän ovat kuin mutta myös sen joka tai ole niin kun mukaan vuonna "
    "jos voi sekä ovat tämä",
    "pl": "i w na nie się z do jest to że o jak po ale za od przez dla są oraz było który która "
    "może tym być tego",
    "cs": "a v na se je že s z do o to ve jako pro za by ale byl jsou od po při který která také "
    "nebo jeho však",
    "hu": "a az és hogy nem is egy van ez csak meg de vagy mint volt el már még ha ki azt lehet "
    "között után által",
    "ro": "și în de la cu a nu este pe că din care o un pentru mai se au sau fi prin dar sunt fost "
    "această după lui",
    "tr": "ve bir bu da de için ile olarak çok daha gibi olan ne kadar sonra her ama en var ise "
    "değil olduğu tarafından",
    "lv": "un ir ar par no ka uz kas to bet lai pie arī tika kā gada pēc vai kuri tas šo nav bija",
    "lt": "ir yra su kad iš į tai bet kaip buvo apie tik jo už ar po nuo taip pat metais kuris",
    "et": "ja on ei et see oli ka kui aga või mis ning tema selle välja nende üle aasta pärast",
}
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {}
for _language, _text in _WORDS.items():
    for _word in set(_text.split()):
        _LANGUAGES_OF[_word] = (*_LANGUAGES_OF.get(_word, ()), _language)

_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    ("latin", 0x0041, 0x024F),
    ("greek", 0x0370, 0x03FF),
    ("cyrillic", 0x0400, 0x052F),
    ("armenian", 0x0530, 0x058F),
    ("hebrew", 0x0590, 0x05FF),
    ("arabic", 0x0600, 0x077F),
    ("devanagari", 0x0900, 0x097F),
    ("bengali", 0x0980, 0x09FF),
    ("tamil", 0x0B80, 0x0BFF),
    ("thai", 0x0E00, 0x0E7F),
    ("georgian", 0x10A0, 0x10FF),
    ("hangul", 0x1100, 0x11FF),
    ("kana", 0x3040, 0x30FF),
    ("han", 0x3400, 0x9FFF),
    ("hangul", 0xAC00, 0xD7AF),
)
_BY_SCRIPT = {
    "greek": "el",
    "armenian": "hy",
    "hebrew": "he",
    "devanagari": "hi",
    "bengali": "bn",
    "tamil": "ta",
    "thai": "th",
    "georgian": "ka",
    "hangul": "ko",
    "kana": "ja",
    "han": "zh",
}


def detect(text: str) -> str:
    """Returns the language by its ISO 639-1 code; empty when it cannot be told."""
    sample = text[:_SAMPLE_CHARACTERS]
    scripts = _scripts(sample)
    letters = sum(scripts.values())
    if letters < _MIN_LETTERS:
        return ""
    script = scripts.most_common(1)[0][0]
    # Japanese is written with Chinese characters, too, and Chinese without kana.
    if script == "han" and scripts["kana"] > letters * 0.05:
        return "ja"
    if script == "cyrillic":
        return _cyrillic(sample)
    if script == "arabic":
        return "fa" if any(each in sample for each in "پچژگ") else "ar"
    return _latin(sample) if script == "latin" else _BY_SCRIPT.get(script, "")


def _scripts(sample: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for character, count in Counter(sample).items():
        if not character.isalpha():
            continue
        code = ord(character)
        for name, first, last in _SCRIPTS:
            if first <= code <= last:
                counts[name] += count
                break
    return counts


def _cyrillic(sample: str) -> str:
    letters = Counter(sample.lower())
    if letters["і"] + letters["ї"] + letters["є"] > letters["ы"] + letters["э"]:
        return "uk"
    if letters["ј"] + letters["љ"] + letters["њ"] + letters["ћ"] > letters["й"]:
        return "sr"
    if letters["ы"] + letters["э"] + letters["ё"] > 0:
        return "ru"
    return "bg" if letters["ъ"] > 0 else "ru"


def _latin(sample: str) -> str:
    words = [word.lower() for word in _WORD.findall(sample)]
    if len(words) < _MIN_WORDS:
        return ""
    scores: Counter[str] = Counter()
    for word, count in Counter(words).items():
        for language in (languages := _LANGUAGES_OF.get(word, ())):
            scores[language] += count / len(languages)  # pyright: ignore[reportArgumentType] - a weight
    ranked = scores.most_common(2)
    if not ranked or ranked[0][1] < _MIN_SHARE * len(words):
        return ""
    if len(ranked) > 1 and ranked[0][1] < _MIN_LEAD * ranked[1][1]:
        return ""
    return ranked[0][0]
