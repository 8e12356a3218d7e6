"""Guesses the encoding of a text that says nothing about it, also of a short one.

Every encoding that can read the bytes at all reads them, and the reading that looks most like
writing wins: letters of one script in a word, capitals at its beginning, frequent letters and
signs.
"""

from __future__ import annotations

import functools
import re
import unicodedata

_SAMPLE_BYTES = 16 * 1024
_SINGLE = (
    "cp1252", "cp1251", "koi8_r", "cp1250", "cp1253", "cp1255", "cp1256", "cp1254",
    "cp1257", "iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7", "cp866", "koi8_u",
    "cp874", "mac_roman", "cp437", "cp850", "mac_cyrillic",
)  # fmt: skip
"""In order of preference: the first of equals wins."""
_DOUBLE = ("cp932", "euc_jp", "gb18030", "big5", "cp949")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON = {
    "LATIN": frozenset("éèàùòìâêîôûçëïüöäßñáíóúãõåøæÉÀÄÖÜÇÑÅØ"),
    "CENTRAL": frozenset("ąćęłńóśźżčďěňřšťůžýáíéúőűôäĺľŕăâîșțşţđ"),
    "CYRILLIC": frozenset("оеаинтсрвлкмдпуыьязбгчй"),
    "GREEK": frozenset("αοιετσνηυρπκμλςίόάέωή"),
    "HEBREW": frozenset("יוהלאתרבמשנעדקחפםןגטכסזצ"),
    "ARABIC": frozenset("الينمتربدهعوسفقكحةىجأ"),
    "THAI": frozenset("านรอกเงมยลวดทสตะปบคหแจพชขใไโผ่้ีัิื"),
}
_TURKISH = frozenset("ığşİöüçĞŞâ")
_BALTIC = frozenset("ąčęėįšųūžāēģīķļņōŗõäöü")
_PUNCTUATION = frozenset("«»“”„‘’‚–—…•€£§©®°·¿¡ºª№\u00a0")
_SIMPLIFIED = frozenset(
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产"
    "种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从你好世界们会吗呢吧很请文字本"
)
_TRADITIONAL = frozenset(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作"
    "里用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實"
)
_HANGUL = frozenset(
    "이다는의에가을를하고은도지한로서사기해니어자시아나요인대정보그있것들수전그리과만"
)
_KANA = frozenset(map(chr, range(0x3041, 0x30FF)))
COMMON_SIGNS = _SIMPLIFIED | _TRADITIONAL | _HANGUL | _KANA
"""Signs of which Chinese, Japanese and Korean texts have many."""
_FINAL_HEBREW = frozenset("ךםןףץ")
_MIN_SCORE = 0.2


def guess(data: bytes) -> tuple[str, float]:
    """Returns the likeliest encoding and how much its reading looks like writing, at most about 1.

    Args:
        data: Bytes that are no valid UTF-8.
    """
    sample = data[:_SAMPLE_BYTES]
    best, best_score = "", 0.0
    for encoding in (*_SINGLE, *_DOUBLE):
        text = _read(sample, encoding, is_cut=len(data) > len(sample))
        if text is None:
            continue
        score = _score(text, encoding)
        if not best or score > best_score + 1e-9:
            best, best_score = encoding, score
    if not best or best_score < _MIN_SCORE:
        return "cp1252" if _read(sample, "cp1252") is not None else "latin_1", best_score
    return best, best_score


def _read(data: bytes, encoding: str, *, is_cut: bool = False) -> str | None:
    for dropped in range(4 if is_cut else 1):
        try:
            return data[: len(data) - dropped].decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _score(text: str, encoding: str) -> float:
    """Returns how much a reading looks like writing, per character that is not ASCII."""
    count = sum(char >= "\x80" for char in text)
    if not count:
        return 0.0
    if encoding in _DOUBLE:
        return _score_signs(text, encoding) / count
    total = _score_others(text)
    for found in _WORD.finditer(text):
        total += _score_word(found[0], encoding)
    return total / count


def _score_others(text: str) -> float:
    """Scores what stands between the words."""
    total = 0.0
    for place, char in enumerate(text):
        if char < "\x80" or char.isalpha():
            continue
        if char in _PUNCTUATION:
            inside = (
                0 < place < len(text) - 1
                and text[place - 1].isalpha()
                and text[place + 1].isalpha()
            )
            is_right = not inside or char == "’" or text[place - 1 : place + 2].lower() == "l·l"
            total += 0.6 if is_right else -0.6
        elif unicodedata.category(char) == "Mn":
            total += 0.4
        else:
            total -= 1.0 if unicodedata.category(char) in {"Cc", "Cn", "Co"} else 0.7
    return total


def _score_word(word: str, encoding: str) -> float:
    scripts = {script_of(char) for char in word}
    total = 0.0
    before = ""
    for char in word:
        if char >= "\x80":
            total += _score_letter(char, before, encoding)
        if before and (before in _FINAL_HEBREW or (before.islower() and char.isupper())):
            total -= 1.5
        before = char
    if len(scripts) > 1:
        # No word mixes alphabets.
        total -= 1.5 * sum(char >= "\x80" for char in word)
    return total


def _score_letter(char: str, before: str, encoding: str) -> float:
    script = script_of(char)
    lower = char.lower()
    if script == "LATIN":
        common = _COMMON["LATIN"]
        weight = 1.0
        if encoding in {"cp1250", "iso8859_2"}:
            common, weight = _COMMON["CENTRAL"], 0.97
        elif encoding == "cp1254":
            common, weight = _TURKISH, 0.96
        elif encoding == "cp1257":
            common, weight = _BALTIC, 0.95
        elif encoding in {"mac_roman", "cp437"}:
            weight = 0.8
        elif encoding == "cp850":
            weight = 0.79
        score = weight if char in common or lower in common else 0.1
        # Two accented letters side by side are rare: a wrong reading has nothing else.
        if before >= "\x80":
            score -= 0.9
        return score
    common = _COMMON.get(script)
    if common is None:
        return -0.5
    weight = 1.0 if lower in common else 0.35
    return weight if char == lower else weight * 0.6


@functools.lru_cache(maxsize=4096)
def script_of(char: str) -> str:
    """Returns the script of a letter by its Unicode name, such as "CYRILLIC"."""
    name = unicodedata.name(char, "")
    return name.partition(" ")[0]


def _score_signs(text: str, encoding: str) -> float:
    """Scores a reading in an encoding of Chinese, Japanese or Korean."""
    total = 0.0
    kana = sum("\u3041" <= char <= "\u30fe" for char in text)
    hangul = sum("\uac00" <= char <= "\ud7a3" for char in text)
    for char in text:
        if char < "\x80":
            continue
        if "\u4e00" <= char <= "\u9fff":
            total += _score_ideograph(char, encoding, has_kana=kana > 0, has_hangul=hangul > 0)
        elif "\u3041" <= char <= "\u30fe":
            total += 1.0 if encoding in {"cp932", "euc_jp"} else 0.1
        elif "\uac00" <= char <= "\ud7a3":
            total += _score_syllable(char) if encoding == "cp949" else 0.0
        elif "\u3000" <= char <= "\u303f" or "\uff01" <= char <= "\uff5e":
            total += 0.7
        elif "\uff61" <= char <= "\uff9f":
            total -= 0.5  # half-width kana: what other encodings look like in this one
        elif char in _PUNCTUATION:
            total += 0.3
        else:
            total -= 0.7
    return total


def _score_syllable(char: str) -> float:
    if char in _HANGUL:
        return 1.1
    return 0.6 if _is_level_one(char, "euc_kr", 0xB0, 0xC8) else -0.5


def _score_ideograph(char: str, encoding: str, *, has_kana: bool, has_hangul: bool) -> float:
    if encoding == "gb18030":
        if char in _SIMPLIFIED:
            return 1.3
        return 0.75 if _is_level_one(char, "gb2312", 0xB0, 0xD7) else -0.2
    if encoding == "big5":
        if char in _TRADITIONAL:
            return 1.3
        return 0.75 if _is_level_one(char, "big5", 0xA4, 0xC6) else -0.2
    if encoding == "cp949":
        return 0.1 if has_hangul else -0.3
    level = _is_level_one(char, "shift_jis", 0x88, 0x97)
    return (0.8 if level else 0.0) - (0.0 if has_kana else 0.5)


def _is_level_one(char: str, encoding: str, low: int, high: int) -> bool:
    try:
        encoded = char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return len(encoded) == 2 and low <= encoded[0] <= high
