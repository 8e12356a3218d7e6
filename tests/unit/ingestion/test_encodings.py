"""Texts that do not say in which encoding they are, from one byte to four a character."""

from __future__ import annotations

import pytest

from services.ingestion.parsers import plain
from services.ingestion.parsers.decoding import decode
from services.ingestion.parsers.recognise import PLAIN, recognise

TEXTS = {
    "german": "Granit ist ein harter Stein. Er entsteht tief in der Erde.\nGröße, Übung.",
    "danish": "Rødgrød med fløde på øen. Æblet er rødt, og åen er blå.",
    "portuguese": "A ação não é fácil, coração. Você está à mesa, e a pedra é dura.",
    "catalan": "La col·lecció és molt intel·ligent, però paral·lela.",
    "italian": "Perché la città è così; più o meno ciò che farò lunedì.",
    "russian": "Гранит — твёрдый камень. Он образуется в глубине земли, и его добывают.",
    "greek": "Ο γρανίτης είναι μια σκληρή πέτρα. Σχηματίζεται βαθιά μέσα στη γη.",
    "hebrew": "גרניט הוא אבן קשה. הוא נוצר עמוק באדמה ונחצב במחצבות.",
    "arabic": "الجرانيت حجر صلب. يتكون في أعماق الأرض ويستخرج من المحاجر.",
    "thai": "หินแกรนิตเป็นหินแข็ง เกิดขึ้นลึกใต้พื้นโลก และถูกขุดจากเหมืองหิน",
    "japanese": "花崗岩は硬い石です。地下深くで形成され、採石場で採掘されます。",
    "chinese": "花岗岩是一种坚硬的石头。它在地下深处形成，在采石场开采。",
    "taiwanese": "花崗岩是一種堅硬的石頭。它在地下深處形成，在採石場開採。",
    "korean": "화강암은 단단한 돌입니다. 땅속 깊은 곳에서 만들어지며 채석장에서 채굴합니다.",
    "english": "Granite is a hard stone,\r\nand it is found deep in the earth.",
}
WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
NARROW = {
    "german": ["cp1252", "mac_roman", "iso8859_15", "cp850", "cp437"],
    "danish": ["cp1252", "mac_roman", "cp850"],
    "portuguese": ["cp1252", "mac_roman", "cp850"],
    "catalan": ["cp1252", "mac_roman", "cp850"],
    "italian": ["cp1252", "mac_roman", "cp850", "cp437"],
    "russian": ["koi8_r", "cp1251", "cp866", "iso8859_5", "mac_cyrillic"],
    "greek": ["cp1253"],
    "hebrew": ["cp1255"],
    "arabic": ["cp1256"],
    "thai": ["cp874"],
    "japanese": ["cp932", "euc_jp", "iso2022_jp"],
    "chinese": ["gb18030", "hz"],
    "taiwanese": ["big5"],
    "korean": ["cp949"],
}


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("language", TEXTS)
def test_wide_texts_need_no_mark(language, encoding):
    text = TEXTS[language] * 40
    data = text.encode(encoding)
    assert recognise(data[:4096], "a.txt", "") == PLAIN
    assert decode(data) == (text, [])


@pytest.mark.parametrize("encoding", WIDE)
def test_a_wide_text_may_be_one_word(encoding):
    assert decode("Гранит\n".encode(encoding))[0] == "Гранит\n"


@pytest.mark.parametrize(
    ("language", "encoding"), [(name, each) for name, names in NARROW.items() for each in names]
)
@pytest.mark.parametrize("repeats", [1, 2])
def test_narrow_texts_are_never_taken_for_wide_ones(language, encoding, repeats):
    text = TEXTS[language] * repeats
    if encoding in {"cp1251", "cp866", "iso8859_5", "koi8_r", "mac_cyrillic"}:
        text = text.replace("—", "-").replace("ё", "е")
    # One byte more or less decides whether the bytes come in pairs at all.
    for tail in ("", "."):
        found, warnings = decode((text + tail).encode(encoding))
        assert found == text + tail
        assert warnings[0].startswith("the encoding was guessed from the text")


def test_the_euro_is_read_where_the_general_sign_for_money_would_stand():
    assert decode("Größe für 5 €".encode("iso8859_15"))[0] == "Größe für 5 €"


@pytest.mark.parametrize(
    "data",
    [
        b"Granite words\x00 and more \x01 of it\n" * 20,
        b"ab\x00c" * 40,
        b"a\x00\x01\x02\x00\x03" * 50,
    ],
)
def test_zeros_alone_make_no_wide_text(data):
    assert "\u6261" not in plain.parse(b"x " + data).text


@pytest.mark.parametrize("language", ["german", "russian", "japanese"])
def test_a_few_bytes_that_are_no_utf8_do_not_change_the_rest(language):
    text = TEXTS[language] * 20
    data = text.encode()
    middle = data.index(b"\n") if language == "german" else len(TEXTS[language].encode())
    damaged = data[:middle] + b" caf\xe9 \x96 " + data[middle:]
    found, warnings = decode(damaged)
    assert found == damaged.replace(b"\xe9 \x96", "é –".encode()).decode()
    assert warnings == ["2 bytes are no UTF-8, as the rest of the file is"]


def test_a_character_that_was_cut_off_at_the_end_is_left_out():
    assert decode(("Гранит " * 9).encode() + "т".encode()[:1])[0] == "Гранит " * 9
