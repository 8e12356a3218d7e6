"""Formats that are text: tables, JSON, XML, RTF, mail and web tables, and the encodings of all."""

from __future__ import annotations

import base64
import io
import random
import zipfile
from email.message import EmailMessage

import pytest

from services.ingestion.parsers import (
    delimited,
    dispatch,
    formats,
    guessing,
    html,
    json_text,
    mail,
    plain,
    rtf,
    xml_text,
)
from services.ingestion.parsers.options import ParseOptions
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError


def pieces(parsed: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, parsed.text[block.start : block.end]) for block in parsed.blocks]


def texts(parsed: ParsedDocument) -> list[str]:
    return [text for _, text in pieces(parsed)]


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ("a,b\n1,2\n", "a | b\n1 | 2"),
        ("a;b;c\n1,5;2;3\n", "a | b | c\n1,5 | 2 | 3"),
        ("a\tb\n1\t2", "a | b\n1 | 2"),
        ("a|b\n1|2", "a | b\n1 | 2"),
        ("sep=;\na;b\n1;2", "a | b\n1 | 2"),
        ('a,b\n"x\ny","q ""r"" s"\n', 'a | b\nx y | q "r" s'),
        ("a,b\n,\n\n1,2", "a | b\n1 | 2"),
        ("a,b,c\n1\n,,3", "a | b | c\n1\n |  | 3"),
        ("one\ntwo", "one\ntwo"),
        ('a,b\n"never closed,2', "a | b\nnever closed,2"),
    ],
)
def test_tables_are_read_with_the_delimiter_they_have(source, rows):
    assert delimited.parse(source.encode()).text == rows


def test_a_title_above_a_table_is_no_row_of_it():
    parsed = delimited.parse(b"Stanley Cups,,\nTeam,City,Cups\nBlues,STL,1\n")
    assert pieces(parsed) == [
        ("paragraph", "Stanley Cups"),
        ("table", "Team | City | Cups\nBlues | STL | 1"),
    ]


def test_a_cell_of_two_megabytes_and_zeros_are_read():
    parsed = delimited.parse(b"a,b\n" + b"x" * 2_000_000 + b",\x00\n")
    assert len(parsed.text) > 2_000_000
    assert "\x00" not in parsed.text


def test_json_records_are_blocks_and_named_containers_sections():
    source = """{"title": "Report", "count": 2, "tags": ["a", "b"], "none": null,
      "items": [{"name": "x", "size": {"w": 1, "h": 2.50}}, {"name": "y", "ok": true}],
      "about": {"author": "Ada", "text": "Line one\\nline two"}}"""
    parsed = json_text.parse(source.encode())
    assert parsed.title == "Report"
    assert pieces(parsed) == [
        ("list", "title: Report\ncount: 2\ntags: a, b"),
        ("heading", "items"),
        ("list", "name: x\nsize.w: 1\nsize.h: 2.5"),
        ("list", "name: y\nok: true"),
        ("heading", "about"),
        ("list", "author: Ada\ntext: Line one\nline two"),
    ]
    assert parsed.blocks[2].heading_path == ("items",)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (b'[{"a": 1}, {"a": 2}]', ["a: 1", "a: 2"]),
        (b'["x", "y"]', ["- x\n- y"]),
        (b'"just text"', ["just text"]),
        (b'{"a": 1}\n{"a": 2}\n', ["a: 1", "a: 2"]),
        (b'{"a": 1}\n\n{"a": 2}\nbroken\n', ["a: 1", "a: 2"]),
        ('\ufeff{"a": "ü"}'.encode(), ["a: ü"]),
        ('{"a": "ü"}'.encode("utf-16"), ["a: ü"]),
        (b'{"big": 123456789012345678901234567890}', ["big: 123456789012345678901234567890"]),
    ],
)
def test_json_of_every_shape_is_read(source, lines):
    assert texts(json_text.parse(source)) == lines


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"{broken", "PARSE_FAILED"),
        (b"[" * 100_000, "PARSE_FAILED"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "PARSE_FAILED"),
        (b"{}", "EMPTY_TEXT"),
        (b"null", "EMPTY_TEXT"),
        (b"[" + b"9" * 10_000 + b"]", "PARSE_FAILED"),
    ],
)
def test_json_that_says_nothing_or_is_damaged_is_refused(source, reason):
    with pytest.raises(UnparsableError) as caught:
        json_text.parse(source)
    assert caught.value.reason == reason


def test_broken_json_lines_are_told():
    parsed = json_text.parse(b'{"a": 1}\nbroken\n{"a": 2}\n')
    assert parsed.warnings == ("1 lines are no JSON and were left out",)


def test_xml_records_sections_and_running_text_are_told_apart():
    source = """<?xml version="1.0"?><!-- c --><b:book xmlns:b="urn:b" lang="en"><title>Top</title>
      <chapter><title>One</title><para>Text with <em>mixed</em> words.</para>
      <programlisting>a  = 1\n  b</programlisting></chapter>
      <list><city code="P"><name>Paris</name><people>2</people></city>
      <city code="R"><name>Rome</name><people>3</people></city></list></b:book>"""
    parsed = xml_text.parse(source.encode())
    assert pieces(parsed) == [
        ("heading", "Top"),
        ("list", "lang: en"),
        ("heading", "One"),
        ("paragraph", "Text with mixed words."),
        ("code", "a  = 1\n  b"),
        ("list", "code: P\nname: Paris\npeople: 2"),
        ("list", "code: R\nname: Rome\npeople: 3"),
    ]
    assert parsed.blocks[3].heading_path == ("Top", "One")


def test_a_section_of_one_paragraph_is_prose():
    parsed = xml_text.parse(b"<section><title>Top</title><para>Deep words.</para></section>")
    assert pieces(parsed) == [("heading", "Top"), ("paragraph", "Deep words.")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_xml_is_read_in_the_encoding_it_declares(encoding):
    source = f'<?xml version="1.0" encoding="{encoding}"?><a>grün</a>'
    assert xml_text.parse(source.encode(encoding)).text == "a: grün"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"<a>", "PARSE_FAILED"),
        (b"no xml", "PARSE_FAILED"),
        (b"<a></a>", "EMPTY_TEXT"),
        (b"<a>" * 5_000 + b"x" + b"</a>" * 5_000, "PARSE_FAILED"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "UNSAFE_CONTENT"),
        (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://h/x"> %x;]><a>t</a>', "UNSAFE_CONTENT"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'.encode("utf-16"), "UNSAFE_CONTENT"),
    ],
)  # fmt: skip
def test_xml_that_is_damaged_deep_or_dangerous_is_refused(source, reason):
    with pytest.raises(UnparsableError) as caught:
        xml_text.parse(source)
    assert caught.value.reason == reason


def test_a_document_type_without_entities_is_harmless():
    source = b'<!DOCTYPE note SYSTEM "http://127.0.0.1:1/note.dtd"><note>text</note>'
    assert xml_text.parse(source).text == "note: text"


def test_a_web_page_in_xml_is_read_as_a_page():
    page = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>A page.</p></body></html>'
    assert xml_text.parse(page).text == "A page."


def test_rtf_keeps_headings_lists_tables_notes_and_pages():
    source = rb"""{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\stylesheet{\s1 heading 1;}}
{\info{\title The Title}{\author Nobody}}
\pard\s1 Top\par\pard Caf\'e9 \u8364?5\line next{\footnote\pard The note.}.\par
{\listtext\'b7\tab}\ls1 item one\par{\listtext\'b7\tab}\ls1 item two\par
\pard\trowd\cellx1\cellx2\intbl a\cell b\cell\row\trowd\intbl 1\cell\cell\row
\pard\page Second page {\v hidden}{\*\unknown gone}\{braces\}\par}"""
    parsed = rtf.parse(source)
    assert parsed.title == "The Title"
    assert pieces(parsed) == [
        ("heading", "Top"),
        ("paragraph", "Café €5\nnext[*]."),
        ("paragraph", "[*] The note."),
        ("list", "- item one\n- item two"),
        ("table", "a | b\n1"),
        ("paragraph", "Second page {braces}"),
    ]
    assert [block.page for block in parsed.blocks] == [1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (rb"{\rtf1\ansi\uc1 \u1055?\u1088?\u1080?}", "При"),
        (rb"{\rtf1\uc2 \u8364\'80\'80x}", "€x"),
        (rb"{\rtf1\uc0 \u8364x}", "€x"),
        (rb"{\rtf1 \u-10179?\u-8704?}", "\U0001f600"),
        (rb"{\rtf1\ansi{\fonttbl{\f1\fcharset204 A;}}\f1 \'cf\'f0\'e8}", "При"),
        (rb"{\rtf1\ansi\ansicpg932 \'8c\'9f\'8d\'f5}", "検索"),
        (rb"{\rtf1\mac \'8a}", "ä"),
        (rb"{\rtf1 a\~b\_c\emdash d}", "a b-c—d"),
        (rb"{\rtf1 a{\pict\bin3 }{{}b}", "ab"),
        (rb"{\rtf1 {\field{\*\fldinst HYPERLINK x}{\fldrslt link}}}", "link"),
        (rb"{\rtf1 kept{\deleted gone}}", "kept"),
        (rb"{\rtf1 not closed", "not closed"),
    ],
)
def test_rtf_characters_are_read_in_their_code_page(source, text):
    assert rtf.parse(source).text == text


@pytest.mark.parametrize("seed", range(5))
def test_rtf_that_holds_bytes_by_chance_is_refused(seed):
    noise = random.Random(seed).randbytes(4_000)
    with pytest.raises(UnparsableError, match="bytes, not text") as caught:
        rtf.parse(b"{\\rtf1\\ansi " + noise)
    assert caught.value.reason == "PARSE_FAILED"
    # In a picture they are what they should be; the clipboard ends with a zero.
    assert rtf.parse(b"{\\rtf1 a{\\pict\\bin4000 " + noise + b"}b}\0").text == "ab"


def test_rtf_that_nests_too_deeply_is_refused():
    with pytest.raises(UnparsableError) as caught:
        rtf.parse(b"{\\rtf1 " + b"{" * 100_000)
    assert caught.value.reason == "PARSE_FAILED"


def message(subject: str = "Grüße", body: str = "Hello.\n") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Ada <ada@x.org>", "bob@x.org", subject
    made.set_content(body)
    return made


def test_mail_is_read_with_its_attachments():
    made = message()
    made.add_alternative("<p>Hello, <b>rich</b> world.</p>", subtype="html")
    made.add_attachment(b"a,b\n1,2\n", maintype="text", subtype="csv", filename="täble.csv")
    made.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="logo.png")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.txt", "x" * 100)
    made.add_attachment(inner.getvalue(), maintype="application", subtype="zip", filename="a.zip")
    made.add_attachment(message("Inner", "Inner text."), filename="inner.eml")
    parsed = mail.parse(made.as_bytes())
    assert parsed.title == "Grüße"
    assert texts(parsed) == [
        "From: Ada <ada@x.org>\nTo: bob@x.org\nSubject: Grüße",
        "Hello, rich world.",
        "Message: Inner",
        "From: Ada <ada@x.org>\nTo: bob@x.org\nSubject: Inner",
        "Inner text.",
        "Attachment: täble.csv",
        "a | b\n1 | 2",
    ]
    assert parsed.blocks[-1].heading_path == ("Attachment: täble.csv",)
    assert parsed.warnings == (
        "attachment 'logo.png' was left out: UNSUPPORTED_CONTENT_TYPE",
        "attachment 'a.zip' was left out: UNSUPPORTED_CONTENT_TYPE",
    )


@pytest.mark.parametrize(
    ("head", "body", "text"),
    [
        ('text/plain; charset="utf-8"\nContent-Transfer-Encoding: quoted-printable', b"gr=C3=BCn =\nsoft", "grün soft"),
        ("text/plain; charset=iso-8859-1", b"gr\xfcn", "grün"),
        ("text/plain; charset=us-ascii", "grün und größer".encode(), "grün und größer"),
        ("text/plain; charset=nonsense", "grün".encode(), "grün"),
        ("text/plain; charset=utf-8", "Müller aß".encode("latin-1"), "Müller aß"),
        ("text/plain\nContent-Transfer-Encoding: base64", base64.b64encode("grün".encode()), "grün"),
        ("text/plain\nContent-Transfer-Encoding: base64", b"!!!", "!!!"),
        ("text/html; charset=utf-8", "<p>grün</p>".encode(), "grün"),
    ],
)  # fmt: skip
def test_mail_bodies_are_decoded_also_when_their_charset_lies(head, body, text):
    parsed = mail.parse(f"Subject: x\nContent-Type: {head}\n\n".encode() + body)
    assert texts(parsed)[1:] == [text]


def test_encoded_words_in_headers_are_decoded():
    raw = "=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?Q?_an_M=FCller?= =?nonsense?q?x?="
    assert mail.parse(f"Subject: {raw}\n\nbody\n".encode()).title == "Grüße an Müllerx"


def test_raw_bytes_in_headers_are_decoded():
    assert mail.parse("Subject: Größe".encode() + b"\n\nbody\n").title == "Größe"
    assert mail.parse("Subject: Größe".encode("latin-1") + b"\n\nbody\n").title == "Größe"


def test_both_forms_of_a_message_are_kept_when_they_differ():
    made = message(body="The plain form tells of granite and basalt only.\n")
    made.add_alternative("<p>Entirely other words stand here.</p>", subtype="html")
    assert texts(mail.parse(made.as_bytes()))[1:] == [
        "Entirely other words stand here.",
        "The plain form tells of granite and basalt only.",
    ]


def test_messages_inside_messages_end_somewhere():
    made = message("0", "innermost")
    for number in range(1, 12):
        outer = message(str(number), f"text {number}")
        outer.add_attachment(made)
        made = outer
    parsed = mail.parse(made.as_bytes())
    assert "text 11" in parsed.text
    assert "innermost" not in parsed.text
    assert any("too many messages" in warning for warning in parsed.warnings)


def test_an_encrypted_part_is_told_and_the_rest_is_read():
    source = (
        b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nseen\n"
        b"--b\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nAAAA\n--b--\n"
    )
    parsed = mail.parse(source)
    assert texts(parsed)[1:] == ["seen"]
    assert parsed.warnings == ("an encrypted part was left out",)


def test_attachments_are_parsed_as_what_their_bytes_are():
    made = message()
    made.add_attachment(b"# Top\n", maintype="application", subtype="pdf", filename="a.bin")
    options = ParseOptions()
    parsed = dispatch.parse(made.as_bytes(), formats.EMAIL, options)
    assert texts(parsed)[-1] == "# Top"
    assert parsed.content_type == formats.EMAIL


def test_web_tables_keep_their_columns():
    page = """<table><caption>Results</caption><tr><th colspan=2></th><th colspan=3>2021</th></tr>
    <tr><td>Sales</td><td></td><td>$</td><td>1,234</td><td></td></tr>
    <tr><td>Loss</td><td></td><td>$</td><td>(5</td><td>)</td></tr>
    <tr><td rowspan=2>Share</td><td></td><td></td><td>7</td><td>%</td></tr>
    <tr><td></td><td></td><td>8</td><td>%</td></tr></table>"""
    assert pieces(html.parse(page.encode())) == [
        ("paragraph", "Results"),
        ("table", " | 2021\nSales | $1,234\nLoss | $(5)\nShare | 7%\nShare | 8%".strip()),
    ]


def test_numbered_lists_of_a_page_keep_their_numbers():
    page = b"""<ol><li>one<ul><li>a</ul><li>two</ol><p>then<ol start="3"><li>three
    <li value=7>seven<li>eight<ol><li>inner</ol></ol><ul><li value=4>none</ul>"""
    assert pieces(html.parse(page)) == [
        ("list", "1. one\n  - a\n2. two"),
        ("paragraph", "then"),
        ("list", "3. three\n7. seven\n8. eight\n  1. inner"),
        ("list", "- none"),
    ]


def test_form_feeds_part_the_pages_of_a_plain_text():
    parsed = plain.parse(b"\fOne.\n\nStill one.\fTwo.\n\f\fFour.\n\f")
    assert [(parsed.text[b.start : b.end], b.page) for b in parsed.blocks] == [
        ("One.", 1),
        ("Still one.", 1),
        ("Two.", 2),
        ("Four.", 4),
    ]
    assert plain.parse(b"One.\f").blocks[0].page == 0


def test_two_line_breaks_in_a_page_part_paragraphs():
    assert pieces(html.parse(b"<body>one<br>more<br><br>two</body>")) == [
        ("paragraph", "one\nmore"),
        ("paragraph", "two"),
    ]


ENCODED = [
    ("Проверка кодировки документов.", ["koi8_r", "cp1251", "iso8859_5", "cp866"]),
    ("Привет, мир!", ["koi8_r", "cp1251"]),
    ("Größe", ["cp1252"]),
    ("„Straße“ – 5 €", ["cp1252"]),
    ("L'été était très chaud, à la crème.", ["cp1252", "mac_roman"]),
    ("¿Qué? El niño comió paella.", ["cp1252"]),
    ("Zażółć gęślą jaźń, proszę.", ["cp1250", "iso8859_2"]),
    ("Příliš žluťoučký kůň úpěl", ["cp1250", "iso8859_2"]),
    ("Καλημέρα κόσμε, τι κάνεις σήμερα;", ["cp1253", "iso8859_7"]),
    ("עדכון טסלה - החברה הודיעה היום", ["cp1255", "iso8859_8"]),
    ("مرحبا بالعالم هذا نص عربي قصير", ["cp1256", "iso8859_6"]),
    ("Günaydın, bugün hava çok güzel. Teşekkür", ["cp1254"]),
    ("检索增强生成平台的解析测试。", ["gb18030"]),
    ("你好，世界", ["gb18030"]),
    ("檢索增強生成平台的解析測試。這是測試。", ["big5"]),
    ("検索拡張生成のテスト文書です。", ["cp932", "euc_jp"]),
    ("안녕하세요. 검색 증강 생성 시험 문서입니다.", ["cp949"]),
    ("สวัสดีชาวโลก นี่คือข้อความภาษาไทย", ["cp874"]),
]


@pytest.mark.parametrize(
    ("text", "encoding"), [(text, each) for text, encodings in ENCODED for each in encodings]
)
def test_the_encoding_of_short_texts_is_guessed(text, encoding):
    data = text.encode(encoding)
    assert data.decode(guessing.guess(data)[0]) == text


def test_text_in_base64_is_decoded_and_keys_are_not():
    inner = "Ein längerer Text mit mehreren Wörtern, wie ihn Menschen schreiben.".encode()
    assert plain.parse(base64.b64encode(inner)).text == inner.decode()
    key = base64.b64encode(bytes(range(160, 220)))
    assert plain.parse(key).text == key.decode()


def test_what_was_encoded_twice_is_mended():
    twice = "1986–1990 “quoted”".encode().decode("latin-1").encode()
    assert plain.parse(twice).text == "1986–1990 “quoted”"
    assert plain.parse("Ã¤ stays".encode()).text == "Ã¤ stays"
