"""Files that are made to do harm end with text or a precise reason, and soon, in a parser's process."""

from __future__ import annotations

import io
import zipfile
from email.message import EmailMessage

import pytest
import pytest_asyncio

from services.ingestion.failures import StageFailedError
from services.ingestion.parsers.parsed import ParsedDocument
from services.ingestion.parsers.recognise import recognise
from services.ingestion.parsers.sandbox import ParserLimits, ParserPool
from services.rpc.errors import ServiceError

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = "Granite is a hard stone."
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_X = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_R = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"
_LAUGHS = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool():
    async with ParserPool(1, ParserLimits(cpu_seconds=30.0)) as opened:
        yield opened


def packed(**parts: str | bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def docx(body: str, **parts: str | bytes) -> bytes:
    document = f"<w:document {_W}><w:body>{body}</w:body></w:document>"
    return packed(**{"word/document.xml": document, **parts})


def paragraph(text: str = WORDS) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def xlsx(sheet: str) -> bytes:
    return packed(
        **{
            "xl/workbook.xml": f'<workbook {_X} xmlns:r="{_OFFICE}"><sheets>'
            '<sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships {_R}><Relationship Id="r1" '
            f'Type="{_OFFICE}/worksheet" Target="worksheets/s.xml"/></Relationships>',
            "xl/worksheets/s.xml": f"<worksheet {_X}>{sheet}</worksheet>",
        }
    )


def cell(place: str, text: str = WORDS) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def odf(kind: str, body: str, doctype: str = "") -> bytes:
    spaces = " ".join(f'xmlns:{name}="{_ODF}:{name}:1.0"' for name in ("office", "text", "table"))
    media = "text" if kind == "text" else "spreadsheet"
    return packed(
        **{
            "mimetype": f"application/vnd.oasis.opendocument.{media}",
            "content.xml": f"{doctype}<office:document-content {spaces}><office:body>"
            f"<office:{kind}>{body}</office:{kind}></office:body></office:document-content>",
        }
    )


def epub(page: str) -> bytes:
    return packed(
        **{
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:'
            'container"><rootfiles><rootfile full-path="c.opf"/></rootfiles></container>',
            "c.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest>'
            '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="a"/></spine></package>',
            "a.xhtml": page,
        }
    )


def pdf(pages: str, *more: str) -> bytes:
    drawn = f"BT /F 12 Tf 72 700 Td ({WORDS}) Tj ET"
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = (
        "<< /Type /Catalog /Pages 2 0 R /Outlines 7 0 R >>",
        f"<< /Type /Pages {pages} >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources 6 0 R >>",
        f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        font,
        "<< /Font << /F 5 0 R >> >>",
        *more,
    )
    out, places = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    return (
        f"{out}xref\n0 {size}\n0000000000 65535 f \n{table}"
        f"trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    ).encode()


def messages(depth: int) -> bytes:
    inner = EmailMessage()
    inner.set_content("innermost")
    for level in range(depth):
        outer = EmailMessage()
        outer["Subject"] = f"level {level}"
        outer.set_content(WORDS)
        outer.add_attachment(inner)
        inner = outer
    return inner.as_bytes()


def with_attachment(name: str, data: bytes) -> bytes:
    message = EmailMessage()
    message["Subject"] = "Stones"
    message.set_content(WORDS)
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


BOMB = packed(zeros=bytes(20_000_000))
READ = {
    "a.docx": docx(paragraph(), **{"word/embeddings/x.zip": packed(a=BOMB, b=BOMB)}),
    "wide.docx": docx(
        '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="1000000000"/></w:tcPr>'
        f"{paragraph()}</w:tc></w:tr></w:tbl>"
    ),
    "spaces.odt": odf("text", f'<text:p>{WORDS}<text:s text:c="2000000000"/></text:p>'),
    "repeated.ods": odf(
        "spreadsheet",
        '<table:table><table:table-row table:number-rows-repeated="1048576"><table:table-cell '
        f'table:number-columns-repeated="16384"><text:p>{WORDS}</text:p></table:table-cell>'
        "</table:table-row></table:table>",
    ),
    "entities.epub": epub(f"<!DOCTYPE html [{_LAUGHS}]><html><body>&h; {WORDS}</body></html>"),
    "entities.html": f"<!DOCTYPE html [{_LAUGHS}]><html><body>&h; {WORDS}</body></html>".encode(),
    "dimension.xlsx": xlsx(
        f'<dimension ref="A1:XFD1048576"/><sheetData><row r="1">{cell("A1", "Name")}'
        f'</row><row r="1048576">{cell("XFD1048576")}</row></sheetData>'
    ),
    "merged.xlsx": xlsx(
        f'<sheetData><row r="1">{cell("A1")}</row></sheetData>'
        "<mergeCells>" + '<mergeCell ref="A1:XFD1048576"/>' * 20_000 + "</mergeCells>"
    ),
    "cyclic.pdf": pdf("/Kids [2 0 R 3 0 R 2 0 R] /Count 3"),
    "million.pdf": pdf("/Kids [3 0 R] /Count 1000000"),
    "outline.pdf": pdf(
        "/Kids [3 0 R] /Count 1",
        "<< /First 8 0 R /Last 8 0 R /Count 1 >>",
        "<< /Title (A) /Next 8 0 R /First 7 0 R /Parent 7 0 R /Dest [3 0 R /Fit] >>",
    ),
    "xinclude.xml": f'<r xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd" '
    f'parse="text"/><p>{WORDS}</p></r>'.encode(),
    "spans.html": b"<p>" + b"<b><i>" * 20_000 + WORDS.encode(),
    "comments.html": f"<p>{WORDS}</p>".encode() + b"<!-- " * 50_000,
    "columns.csv": (
        ",".join(f"c{n}" for n in range(100_000)) + "\n" + WORDS + ",1" * 99_999
    ).encode(),
    "messages.eml": messages(50),
    "bomb.eml": with_attachment("a.zip", BOMB),
    "half.rtf": f"{{\\rtf1 {WORDS} \\bin2000000000 xx".encode(),
    "page.txt": f"<!DOCTYPE html><html><body><p>{WORDS}</p></body></html>".encode(),
    "feed.xml": f"<rss><channel><item><title>A</title><description>&lt;p&gt;{WORDS}&lt;/p&gt;"
    "</description></item></channel></rss>".encode(),
}
_NESTED = "<text:section>" * 20_000, "</text:section>" * 20_000
REFUSED = {
    "entities.odt": ("UNSAFE_CONTENT", odf("text", "", f"<!DOCTYPE x [{_LAUGHS}]>")),
    "entities.rss": ("UNSAFE_CONTENT", f"<!DOCTYPE rss [{_LAUGHS}]><rss>&h;</rss>".encode()),
    "parameter.xml": (
        "UNSAFE_CONTENT",
        b'<!DOCTYPE r [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><r>words</r>',
    ),
    "deep.odt": ("PARSE_FAILED", odf("text", f"<text:p>{WORDS}</text:p>".join(_NESTED))),
    "deep.docx": (
        "PARSE_FAILED",
        docx("<w:tbl><w:tr><w:tc>" * 2000 + paragraph() + "</w:tc></w:tr></w:tbl>" * 2000),
    ),
    "deep.json": ("PARSE_FAILED", b"[" * 100_000 + b"]" * 100_000),
    "parts.docx": (
        "UNSAFE_CONTENT",
        docx(paragraph(), **{f"word/media/{number}": b"x" for number in range(20_001)}),
    ),
    "bomb.docx": ("TOO_LARGE", docx(" " * 70_000_000 + paragraph())),
    "unseen.txt": ("EMPTY_TEXT", "\u00a0\u200b\ufeff\u2028 \n".encode()),
    "archive.docx": ("UNSUPPORTED_CONTENT_TYPE", BOMB),
}


async def outcome(pool: ParserPool, name: str, data: bytes) -> ParsedDocument | str:
    """Returns the document, or the reason against it."""
    try:
        return await pool.parse([data], recognise(data[:4096], name, ""), name)
    except StageFailedError as error:
        return error.reason.value
    except ServiceError as error:
        return error.reason.value


@pytest.mark.parametrize("name", READ)
async def test_what_makes_sense_is_read_and_the_rest_left_out(pool, name):
    found = await outcome(pool, name, READ[name])
    assert isinstance(found, ParsedDocument), found
    assert WORDS in found.text
    assert "root:" not in found.text
    assert "<p>" not in found.text
    assert "haha" not in found.text
    assert len(found.text) < 2_000_000


@pytest.mark.parametrize("name", REFUSED)
async def test_what_makes_none_has_a_reason(pool, name):
    reason, data = REFUSED[name]
    assert await outcome(pool, name, data) == reason
