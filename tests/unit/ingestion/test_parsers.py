"""Each parser on small files of its kind."""

from __future__ import annotations

import io

import pytest

from services.ingestion.parsers import decoding, html, markdown, pdf, plain
from services.ingestion.parsers.parsed import (
    Block,
    ParsedDocument,
    UnparsableError,
    pack,
    unpack,
)
from services.ingestion.parsers.recognise import recognise
from services.rpc.errors import InvalidArgumentError, Reason


def pieces(parsed: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, parsed.text[block.start : block.end]) for block in parsed.blocks]


def one_page_pdf(text: str, *, image: bool = False) -> bytes:
    """A PDF with a page for each line of the text; an empty line is a page with a drawing."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for line in text.split("\n"):
        stream = f"BT /F1 12 Tf 50 700 Td ({line}) Tj ET" if line else "10 10 100 100 re f"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode())
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.writelines(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    out.write(
        f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF".encode()
    )
    return out.getvalue()


def test_markdown_keeps_its_source_and_finds_its_blocks():
    source = (
        "Intro **bold**.\r\n\r\n# Top `code`\r\n\r\n- a\r\n- b\r\n\r\n"
        "| x | y |\r\n|---|---|\r\n| 1 | 2 |\r\n\r\n```py\r\ncode\r\n```\r\n\r\n> quote\r\n\r\n"
        "Setext\r\n------\r\n\r\nEnd.\r\n"
    )
    parsed = markdown.parse(source.encode())
    assert parsed.text == source.replace("\r\n", "\n")
    assert pieces(parsed) == [
        ("paragraph", "Intro **bold**."),
        ("heading", "# Top `code`"),
        ("list", "- a\n- b"),
        ("table", "| x | y |\n|---|---|\n| 1 | 2 |"),
        ("code", "```py\ncode\n```"),
        ("quote", "> quote"),
        ("heading", "Setext\n------"),
        ("paragraph", "End."),
    ]
    assert parsed.blocks[2].heading_path == ("Top code",)
    assert parsed.blocks[-1].heading_path == ("Top code", "Setext")
    assert parsed.title == "Top code"


@pytest.mark.parametrize(
    ("front", "metadata"),
    [
        ("a: 1\nb: 'x y'", {"a": "1", "b": "x y"}),
        ("tags:\n  - one\n  - two", {"tags": ("one", "two")}),
        ("Some Name: v\n# comment", {"some_name": "v"}),
        ("just a line", {}),
    ],
)
def test_front_matter_is_read_and_not_searched(front, metadata):
    parsed = markdown.parse(f"---\n{front}\n---\nBody.\n".encode())
    assert parsed.metadata == metadata
    assert pieces(parsed) == [("paragraph", "Body.")]
    assert parsed.text.startswith("---\n")


def test_comments_and_bare_tags_in_markdown_are_not_searched():
    parsed = markdown.parse(b"<!-- hidden -->\n\n<p><img src='x'></p>\n\nSeen.\n")
    assert pieces(parsed) == [("paragraph", "Seen.")]


def test_html_gives_the_main_content():
    page = """<!doctype html><html><head><title> A  page </title><style>x</style></head><body>
    <nav>Menu</nav><script>evil()</script><main><h1>Top</h1><p>One <b>bold</b>&nbsp;word.<br>Next
    line.</p><ul><li>a<ul><li>b</li></ul></li><li>c</li></ul><table><tr><th>k</th><th>v</th></tr>
    <tr><td>1</td><td><p>2</p><p>3</p></td></tr></table><pre>  code
    more</pre><div hidden>secret</div></main><footer>Foot</footer></body></html>"""
    parsed = html.parse(page.encode())
    assert parsed.title == "A page"
    assert pieces(parsed) == [
        ("heading", "Top"),
        ("paragraph", "One bold word.\nNext line."),
        ("list", "- a\n  - b\n- c"),
        ("table", "k | v\n1 | 2 3"),
        ("code", "  code\n    more"),
    ]
    assert parsed.blocks[-1].heading_path == ("Top",)


def test_html_without_text_is_said_to_be_empty():
    with pytest.raises(UnparsableError) as caught:
        html.parse(b"<html><body><script>x</script></body></html>")
    assert caught.value.reason == "EMPTY_TEXT"


def test_a_page_that_is_all_navigation_is_not_empty():
    parsed = html.parse(b"<html><body><nav><a href=x>Chapter one</a></nav></body></html>")
    assert parsed.text == "Chapter one"


def test_deeply_nested_html_is_read():
    parsed = html.parse(b"<div>" * 20_000 + b"deep" + b"</div>" * 20_000)
    assert parsed.text == "deep"


def test_layout_tables_are_read_as_parts_of_the_page():
    page = b"<table><tr><td><h2>Head</h2><p>Text one.</p></td><td><p>Two.</p></td></tr></table>"
    assert pieces(html.parse(page)) == [
        ("heading", "Head"),
        ("paragraph", "Text one."),
        ("paragraph", "Two."),
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("ä€".encode(), "ä€"),
        (b"\xef\xbb\xbfbom", "bom"),
        ("ümlaut".encode("utf-16"), "ümlaut"),
        ("plain ascii".encode("utf-16-le"), "plain ascii"),
        ("plain ascii".encode("utf-16-be"), "plain ascii"),
        ("plain ascii".encode("utf-32"), "plain ascii"),
        ("plain ascii".encode("utf-32-le"), "plain ascii"),
        (
            "Müller aß größere Brötchen für 3 EUR.".encode("latin-1"),
            "Müller aß größere Brötchen für 3 EUR.",
        ),
        ("検索拡張生成のテスト文書です。".encode("shift-jis"), "検索拡張生成のテスト文書です。"),
        (
            "检索增强生成平台的解析测试。第二句：数据质量。".encode("gb18030"),
            "检索增强生成平台的解析测试。第二句：数据质量。",
        ),
        (
            "Проверка кодировки КОИ-8 для документов.".encode("koi8-r"),
            "Проверка кодировки КОИ-8 для документов.",
        ),
    ],
)
def test_encodings_are_recognised(data, text):
    assert decoding.decode(data)[0] == text


def test_the_charset_a_page_declares_is_used():
    page = "<meta charset='iso-8859-2'><p>Żółć</p>".encode("iso-8859-2")
    assert html.parse(page).text == "Żółć"


def test_guessed_encodings_are_told():
    assert "guessed" in plain.parse("größer".encode("latin-1")).warnings[0]


def test_characters_no_database_stores_are_replaced():
    assert plain.parse(b"a\x00b").text == "a\ufffdb"


def test_plain_text_has_paragraphs():
    parsed = plain.parse(b"one\nstill one\n\n \n  two\n")
    assert pieces(parsed) == [("paragraph", "one\nstill one"), ("paragraph", "two")]


def test_pdf_pages_are_numbered_and_unread_ones_told():
    parsed = pdf.parse(one_page_pdf("First page.\n\nThird page."))
    assert parsed.text == "First page.\n\nThird page."
    assert [block.page for block in parsed.blocks] == [1, 3]
    assert parsed.warnings == ("page 2 has no text and needs OCR",)


def test_a_pdf_of_pictures_needs_recognition():
    with pytest.raises(UnparsableError) as caught:
        pdf.parse(one_page_pdf("\n"))
    assert caught.value.reason == "NEEDS_OCR"
    assert "none of the 2 pages" in caught.value.message


def test_a_damaged_pdf_is_said_to_be_damaged():
    with pytest.raises(UnparsableError) as caught:
        pdf.parse(b"%PDF-1.4\n" + b"\x00" * 1000)
    assert caught.value.reason == "PARSE_FAILED"


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("head", "name", "declared", "wanted"),
    [
        (b"# x", "a.md", "", "text/markdown"),
        (b"# x", "A.MARKDOWN", "", "text/markdown"),
        (b"# x", "https://h/docs/a.md?raw=1", "", "text/markdown"),
        (b"text", "a.md", "text/plain; charset=utf-8", "text/plain"),
        (b"<!DOCTYPE html><p>", "", "", "text/html"),
        (b"\n <html>", "page", "", "text/html"),
        (b"<p>", "a.htm", "", "text/html"),
        (b"a,b", "a.csv", "text/csv", "text/csv"),
        (b"%PDF-1.7", "a.pdf", "", "application/pdf"),
        (b"junk\n%PDF-1.7", "", "application/pdf", "application/pdf"),
        ("ü".encode("utf-16"), "a.txt", "", "text/plain"),
        ("ascii".encode("utf-16-le"), "a.txt", "", "text/plain"),
        (b"x", "", "application/octet-stream", "text/plain"),
        (b"x", "v1.2", "", "text/plain"),
        (b"a,b", "a.csv", "application/vnd.ms-excel", "text/csv"),
        (b"<html>", "a.xls", "application/vnd.ms-excel", "text/html"),
        (b"<?xml version='1.0'?><Workbook>", "a.xls", "", "application/xml"),
        (b"PK\x03\x04" + bytes(60), "a.docx", "application/msword", "application/zip"),
        (b"PK\x03\x04" + bytes(60), "a.epub", "", "application/epub+zip"),
        (b"PK\x03\x04" + bytes(60), "", "application/octet-stream", "application/zip"),
        (OLE, "a.docx", "", "application/x-ole-storage"),
        (OLE, "a.doc", "application/msword", "application/x-ole-storage"),
        (b"{\\rtf1", "a.doc", "application/msword", "application/rtf"),
        (b"{\\rtf1", "", "", "application/rtf"),
        (b'{"a": 1}', "a.json", "", "application/json"),
        (b'{"a": 1}', "a.geojson", "application/geo+json", "application/json"),
        (b"<feed>", "a", "application/atom+xml", "application/xml"),
        (b"<?xml version='1.0'?><a>", "", "", "application/xml"),
        (b"<?xml version='1.0'?><html>", "a.xml", "", "text/html"),
        (b"From: a@b\nTo: c@d\nSubject: x\n\ntext", "", "", "message/rfc822"),
        (b"x = 1", "a.py", "application/x-python", "text/plain"),
        (b"* Heading", "a.org", "application/vnd.lotus-organizer", "text/plain"),
        (b"Title\n=====", "a.rst", "text/prs.fallenstein.rst", "text/plain"),
        (b"x: 1", "a.yaml", "application/yaml", "text/plain"),
        (b"let x", "a.ts", "video/mp2t", "text/plain"),
    ],
)
def test_types_are_recognised(head, name, declared, wanted):
    assert recognise(head, name, declared) == wanted


@pytest.mark.parametrize(
    ("head", "name", "declared"),
    [
        (b"PK\x03\x04", "a.docx", ""),
        (b"PK\x03\x04" + bytes(60), "a.zip", ""),
        (b"PK\x03\x04" + bytes(60), "a.md", ""),
        (b"\x89PNG\r\n\x1a\n", "", ""),
        (b"x", "a.docx", ""),
        (b"<html>", "a.pdf", ""),
        (b"%PDF-1.4", "a.txt", ""),
        (b"%PDF-1.4", "", "text/plain"),
        (b"{\\rtf1", "a.pdf", ""),
        (b"text", "a.rtf", ""),
        (b"\x1f\x8b\x08", "a.tar.gz", ""),
        (b"\x00" * 257 + b"ustar", "", ""),
        (b"text", "a.zip", ""),
        (b"text", "", "image/png"),
        (bytes(range(1, 32)) * 40, "a.bin", ""),
        (b"\x00" * 100, "a.txt", ""),
        (b"a\x00\x01\x02\x00\x03" * 50, "a.txt", ""),
    ],
)
def test_unsupported_and_contradicting_types_are_refused(head, name, declared):
    with pytest.raises(InvalidArgumentError) as caught:
        recognise(head, name, declared)
    assert caught.value.reason is Reason.UNSUPPORTED_CONTENT_TYPE
    assert "text/markdown" in caught.value.metadata["supported"]


def test_a_parsed_document_survives_storing():
    parsed = ParsedDocument(
        "text 文",
        (Block("heading", 0, 4, ("text",)), Block("paragraph", 5, 6, ("text",), 2)),
        "Title",
        {"a": "b", "tags": ("x", "y")},
        ("warned",),
    )
    assert unpack(pack(parsed)) == parsed


def test_a_long_table_of_markdown_names_its_columns():
    rows = "".join(f"| {number} | a stone of {number} kg |\n" for number in range(40))
    table = f"| *id* | note |\n|:--|--|\n{rows}"
    parsed = markdown.parse(f"# Stones\n\n{table}\n{table[:60]}\n".encode())
    assert [(block.kind, block.heading_path) for block in parsed.blocks] == [
        ("heading", ("Stones",)),
        ("table", ("Stones", "id | note")),
        ("table", ("Stones",)),
    ]
