"""Office files: what their parsers keep, on files made by the usual libraries and by hand."""

from __future__ import annotations

import datetime as dt
import io
import struct
import zipfile

import docx
import openpyxl
import pptx
import pytest
from docx.enum.text import WD_BREAK
from openpyxl.styles import Font
from pptx.util import Inches

from services.ingestion.parsers import dispatch, formats
from services.ingestion.parsers import docx as docx_parser
from services.ingestion.parsers import pptx as pptx_parser
from services.ingestion.parsers import xlsx as xlsx_parser
from services.ingestion.parsers.number_format import Formats
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.xml_source import parse_xml

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def pieces(parsed: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, parsed.text[block.start : block.end]) for block in parsed.blocks]


def saved(document: object) -> bytes:
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def zipped(parts: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def word(body: str, **parts: str) -> bytes:
    """A Word document with this body, and other parts of `word/` by name."""
    relations = "".join(
        f'<Relationship Id="r{name}" Type="http://x/relationships/{name}" Target="{name}.xml"/>'
        for name in parts
    )
    return zipped(
        {
            "word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
            "word/_rels/document.xml.rels": f"<Relationships>{relations}</Relationships>",
        }
        | {f"word/{name}.xml": content for name, content in parts.items()}
    )


def p(*runs: str, properties: str = "") -> str:
    inner = "".join(run if run.startswith("<") else f"<w:r><w:t>{run}</w:t></w:r>" for run in runs)
    return f"<w:p><w:pPr>{properties}</w:pPr>{inner}</w:p>"


def test_word_keeps_headings_lists_tables_and_pages():
    document = docx.Document()
    document.core_properties.title = "Handbook"
    document.add_heading("Rocks", 1)
    document.add_paragraph("Granite is hard.")
    document.add_paragraph("first", style="List Bullet")
    document.add_paragraph("second", style="List Bullet")
    document.add_paragraph("one", style="List Number")
    document.add_heading("Soft rocks", 2)
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "name", "hardness"
    table.cell(1, 0).text, table.cell(1, 1).text = "talc", "1"
    document.paragraphs[-1].add_run().add_break(WD_BREAK.PAGE)
    document.add_paragraph("On the next page.")
    document.sections[0].header.paragraphs[0].text = "The header"
    document.sections[0].footer.paragraphs[0].text = "The footer"
    parsed = docx_parser.parse(saved(document))
    assert pieces(parsed) == [
        ("heading", "Rocks"),
        ("paragraph", "Granite is hard."),
        ("list", "- first\n- second\n1. one"),
        ("heading", "Soft rocks"),
        ("table", "name | hardness\ntalc | 1"),
        ("paragraph", "On the next page."),
        ("paragraph", "The header"),
        ("paragraph", "The footer"),
    ]
    assert parsed.title == "Handbook"
    by_text = {parsed.text[block.start : block.end]: block for block in parsed.blocks}
    assert by_text["name | hardness\ntalc | 1"].heading_path == ("Rocks", "Soft rocks")
    assert (by_text["Rocks"].page, by_text["On the next page."].page) == (1, 2)


def test_word_tables_that_are_merged_nested_and_one_cell_wide():
    document = docx.Document()
    table = document.add_table(rows=3, cols=3)
    for row in range(3):
        for column in range(3):
            table.cell(row, column).text = f"{row}{column}"
    table.cell(0, 0).merge(table.cell(1, 0)).text = "tall"
    table.cell(2, 1).merge(table.cell(2, 2)).text = "wide"
    inner = table.cell(1, 1).add_table(1, 2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "in", "side"
    document.add_table(rows=1, cols=1).cell(0, 0).text = "A box."
    assert pieces(docx_parser.parse(saved(document))) == [
        ("table", "tall | 01 | 02\ntall | 11 in, side | 12\n20 | wide"),
        ("paragraph", "A box."),
    ]


def test_tracked_changes_are_read_as_accepted():
    body = p(
        "kept ",
        "<w:ins><w:r><w:t>added</w:t></w:r></w:ins>",
        "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>",
        "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>",
    )
    assert docx_parser.parse(word(body)).text == "kept added"


def test_hidden_text_is_left_out_and_said_to_be():
    hidden = "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>"
    shown = '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>shown</w:t></w:r>'
    parsed = docx_parser.parse(word(p("Granite ", hidden, shown)))
    assert pieces(parsed) == [("paragraph", "Granite shown")]
    assert parsed.warnings == ("hidden text was left out",)


def test_lists_are_nested_by_the_names_of_their_styles():
    document = docx.Document()
    for text, style in (("a", "List Bullet"), ("b", "List Bullet 2"), ("c", "List Number 3")):
        document.add_paragraph(text, style=style)
    assert pieces(docx_parser.parse(saved(document))) == [("list", "- a\n  - b\n    1. c")]


def test_notes_stand_behind_the_paragraph_that_refers_to_them():
    body = p("Text", '<w:r><w:footnoteReference w:id="2"/></w:r>', " goes on.") + p("Next.")
    notes = (
        f'<w:footnotes xmlns:w="{W}"><w:footnote w:id="0" w:type="separator"><w:p/></w:footnote>'
        f'<w:footnote w:id="2">{p("The note.")}</w:footnote></w:footnotes>'
    )
    parsed = docx_parser.parse(word(body, footnotes=notes))
    assert [text for _, text in pieces(parsed)] == ["Text[1] goes on.", "[1] The note.", "Next."]


def test_a_text_box_is_read_once():
    box = f"<w:txbxContent>{p('In the box.')}</w:txbxContent>"
    drawing = (
        '<w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<mc:Choice><w:drawing>{box}</w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    parsed = docx_parser.parse(word(p("Around it.", drawing)))
    assert [text for _, text in pieces(parsed)] == ["Around it.", "In the box."]


def test_content_controls_fields_and_special_characters_are_read():
    body = f"<w:sdt><w:sdtPr/><w:sdtContent>{p('Controlled')}</w:sdtContent></w:sdt>" + p(
        "a",
        "<w:r><w:noBreakHyphen/><w:t>b</w:t><w:tab/><w:t>c</w:t><w:br/><w:t>d</w:t></w:r>",
        "<w:r><w:instrText>PAGEREF x</w:instrText></w:r>",
        "<w:hyperlink><w:r><w:t> link</w:t></w:r></w:hyperlink>",
    )
    assert docx_parser.parse(word(body)).text == "Controlled\n\na-b c\nd link"


def test_headings_are_known_by_style_base_outline_level_and_number():
    styles = (
        f'<w:styles xmlns:w="{W}">'
        '<w:style w:type="paragraph" w:styleId="H"><w:name w:val="heading 1"/><w:pPr><w:numPr>'
        '<w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="H"/>'
        "</w:style></w:styles>"
    )
    numbering = (
        f'<w:numbering xmlns:w="{W}"><w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0">'
        '<w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%1."/></w:lvl>'
        '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num></w:numbering>'
    )
    body = (
        p("One", properties='<w:pStyle w:val="H"/>')
        + p("Two", properties='<w:pStyle w:val="Mine"/>')
        + p("Three", properties='<w:outlineLvl w:val="1"/>')
        + p("Text")
    )
    parsed = docx_parser.parse(word(body, styles=styles, numbering=numbering))
    assert parsed.blocks[-1].heading_path == ("II. Two", "Three")


def test_pages_are_not_guessed_where_word_did_not_lay_out():
    long = "".join(p("word " * 200) for _ in range(20))
    turn = p('<w:r><w:br w:type="page"/></w:r>')
    parsed = docx_parser.parse(word(long + turn + p("End.")))
    assert {block.page for block in parsed.blocks} == {0}


def test_strict_office_files_are_read():
    strict = W.replace(
        "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "http://purl.oclc.org/ooxml/wordprocessingml/main",
    )
    content = f'<w:document xmlns:w="{strict}"><w:body>{p("Strict.")}</w:body></w:document>'
    assert docx_parser.parse(zipped({"word/document.xml": content})).text == "Strict."


def test_slides_have_titles_lists_tables_groups_notes_and_numbers():
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "First slide"
    frame = slide.placeholders[1].text_frame
    frame.text = "point"
    inner = frame.add_paragraph()
    inner.text, inner.level = "inner", 1
    slide.notes_slide.notes_text_frame.text = "Say this."
    hidden = show.slides.add_slide(show.slide_layouts[6])
    hidden._element.set("show", "0")
    hidden.shapes.add_textbox(0, 0, 1, 1).text_frame.text = "secret"
    third = show.slides.add_slide(show.slide_layouts[6])
    low = third.shapes.add_textbox(Inches(1), Inches(5), Inches(1), Inches(1))
    low.text_frame.text = "Below."
    group = third.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(1), Inches(1), Inches(1)).text_frame.text = "Above."
    table = third.shapes.add_table(2, 2, Inches(1), Inches(3), Inches(4), Inches(1)).table
    for row, values in enumerate((("a", "b"), ("1", "2"))):
        for column, value in enumerate(values):
            table.cell(row, column).text = value
    parsed = pptx_parser.parse(saved(show))
    assert pieces(parsed) == [
        ("heading", "First slide"),
        ("list", "- point\n  - inner"),
        ("paragraph", "Notes: Say this."),
        ("paragraph", "Above."),
        ("table", "a | b\n1 | 2"),
        ("paragraph", "Below."),
    ]
    assert [block.page for block in parsed.blocks] == [1, 1, 1, 3, 3, 3]
    assert parsed.blocks[1].heading_path == ("First slide",)
    assert parsed.blocks[-1].heading_path == ()
    assert parsed.warnings == ("hidden slides were left out: 1",)


def test_sheets_show_what_readers_see():
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Sales"
    sheet.append(["day", "amount", "share", "sure"])
    sheet.append([dt.date(2024, 2, 29), 1234.5, 0.256, True])
    sheet["A2"].number_format = "yyyy-mm-dd"
    sheet["B2"].number_format = '#,##0.00 "€"'
    sheet["C2"].number_format = "0.0%"
    sheet["A4"], sheet["B4"] = "second", "table"
    sheet["A5"], sheet["B5"] = 1, "=A5*2"
    sheet["A1"].font = Font(bold=True)
    sheet["D7"] = "tall"
    sheet["E7"], sheet["E8"] = "x", "y"
    sheet.merge_cells("D7:D8")
    book.create_sheet("Empty")
    secret = book.create_sheet("Secret")
    secret["A1"] = "hidden"
    secret.sheet_state = "hidden"
    parsed = xlsx_parser.parse(saved(book))
    assert pieces(parsed) == [
        ("heading", "Sales"),
        ("table", "day | amount | share | sure\n2024-02-29 | 1,234.50 € | 25.6% | TRUE"),
        ("table", "second | table\n1"),
        ("table", "tall | x\ntall | y"),
    ]
    assert parsed.warnings == ("hidden sheets were left out: 1",)


def test_cached_values_of_formulas_and_inline_strings_are_read():
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    sheet = (
        f'<worksheet {main}><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>in</t><rPh><t>no</t>'
        '</rPh></is></c><c r="B1"><f>1+1</f><v>2</v></c><c r="C1" t="str"><f>x</f><v>text</v></c>'
        '<c r="D1" t="e"><v>#N/A</v></c><c r="F1" t="b"><v>0</v></c></row></sheetData></worksheet>'
    )
    book = (
        f'<workbook {main} xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/'
        'relationships"><sheets><sheet name="S" r:id="r1"/></sheets></workbook>'
    )
    relations = (
        '<Relationships><Relationship Id="r1" Type="x/worksheet" Target="s.xml"/></Relationships>'
    )
    data = zipped(
        {"xl/workbook.xml": book, "xl/_rels/workbook.xml.rels": relations, "xl/s.xml": sheet}
    )
    assert pieces(xlsx_parser.parse(data))[1] == ("table", "in | 2 | text | #N/A | FALSE")


def test_a_long_table_names_its_columns_above_each_part():
    book = openpyxl.Workbook()
    book.active.append(["name", "value"])
    for row in range(200):
        book.active.append([f"row {row}", row])
    parsed = xlsx_parser.parse(saved(book))
    assert parsed.blocks[1].heading_path == ("Sheet", "name | value")


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        ("1234.5", "General", "1234.5"),
        ("0.1", "General", "0.1"),
        ("0.30000000000000004", "General", "0.3"),
        ("1E+20", "General", "1E+20"),
        ("1234567.891", "#,##0", "1,234,568"),
        ("-5", "#,##0;(#,##0)", "(5)"),
        ("-5", "0.00", "-5.00"),
        ("0", '0;-0;"–"', "–"),
        ("5", "000", "005"),
        ("2.5", "0.##", "2.5"),
        ("2", "0.##", "2"),
        ("1500000", '0.0,,"M"', "1.5M"),
        ("12.5", "[$€-407] #,##0.00", "€ 12.50"),
        ("12345", "0.00E+00", "1.23E+4"),
        ("0.5", "# ?/?", "0.5"),
        ("45351", "dd/mm/yyyy", "29/02/2024"),
        ("45351.75", "yyyy-mm-dd hh:mm", "2024-02-29 18:00"),
        ("45351", "d mmmm yyyy", "29 February 2024"),
        ("45351", "dddd", "Thursday"),
        ("0.75", "h:mm AM/PM", "6:00 PM"),
        ("1.5", "[h]:mm", "36:00"),
        ("0.000694444", "mm:ss", "01:00"),
        ("1", "yyyy-mm-dd", "1900-01-01"),
        ("60.0", "yyyy-mm-dd", "1900-02-28"),
        ("-1", "yyyy-mm-dd", "-1"),
        ("7", ";;;", ""),
        ("abc", "0.00", "abc"),
        ("1e999999999", "0.00", "1e999999999"),
    ],
)
def test_numbers_are_shown_as_cells_show_them(value, code, shown):
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    escaped = code.replace("&", "&amp;").replace('"', "&quot;")
    styles = parse_xml(
        f'<styleSheet {main}><numFmts><numFmt numFmtId="200" formatCode="{escaped}"/></numFmts>'
        '<cellXfs><xf numFmtId="200"/></cellXfs></styleSheet>'.encode()
    )
    assert Formats(styles).shown(value, 0) == shown


def test_dates_of_old_macintoshes_are_counted_from_1904():
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    styles = parse_xml(
        f'<styleSheet {main}><cellXfs><xf numFmtId="14"/></cellXfs></styleSheet>'.encode()
    )
    assert Formats(styles, is_1904=True).shown("0", 0) == "1904-01-01"


ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
    'xmlns:presentation="urn:oasis:names:tc:opendocument:xmlns:presentation:1.0"'
)


def open_document(kind: str, body: str, **parts: str) -> bytes:
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f"<office:document-content {ODF}><office:body><office:{kind}>{body}"
            f"</office:{kind}></office:body></office:document-content>",
        }
        | {name.replace("_", "."): content for name, content in parts.items()}
    )


def test_open_document_texts_keep_headings_lists_tables_and_notes():
    body = (
        "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"
        '<text:h text:outline-level="1">Top</text:h>'
        "<text:p>One<text:s/>two<text:line-break/>three<text:note><text:note-citation>1"
        "</text:note-citation><text:note-body><text:p>The note.</text:p></text:note-body>"
        "</text:note></text:p>"
        "<text:soft-page-break/>"
        "<text:list><text:list-item><text:p>a</text:p><text:list><text:list-item><text:p>b</text:p>"
        "</text:list-item></text:list></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>k</text:p></table:table-cell>"
        "<table:table-cell><text:p>v</text:p></table:table-cell></table:table-row><table:table-row>"
        '<table:table-cell table:number-columns-repeated="2"><text:p>1</text:p></table:table-cell>'
        '<table:table-cell table:number-columns-repeated="16000"/>'
        "</table:table-row></table:table>"
    )
    parsed = dispatch.parse(open_document("text", body), formats.ZIP)
    assert parsed.content_type == formats.ODT
    assert pieces(parsed) == [
        ("heading", "Top"),
        ("paragraph", "One two\nthree[1]"),
        ("paragraph", "[1] The note."),
        ("list", "- a\n  - b"),
        ("table", "k | v\n1 | 1"),
    ]
    assert [block.page for block in parsed.blocks] == [1, 1, 1, 2, 2]


def test_open_document_sheets_and_slides_are_read():
    sheet = (
        '<table:table table:name="Data"><table:table-row><table:table-cell><text:p>x</text:p>'
        "</table:table-cell><table:table-cell><text:p>y</text:p></table:table-cell>"
        "</table:table-row></table:table>"
    )
    parsed = dispatch.parse(open_document("spreadsheet", sheet), formats.ODS)
    assert pieces(parsed) == [("heading", "Data"), ("table", "x | y")]
    slide = (
        '<draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>Title</text:p>'
        "</draw:text-box></draw:frame><draw:frame><draw:text-box><text:p>Body</text:p>"
        "</draw:text-box></draw:frame></draw:page>"
    )
    parsed = dispatch.parse(open_document("presentation", slide), formats.ODP)
    assert pieces(parsed) == [("heading", "Title"), ("paragraph", "Body")]
    assert [block.page for block in parsed.blocks] == [1, 1]


def test_encrypted_open_documents_are_told():
    manifest = {"META-INF/manifest.xml": "<manifest><encryption-data/></manifest>"}
    data = zipped({"mimetype": formats.ODT, "content.xml": b"\x01\x02"} | manifest)
    with pytest.raises(UnparsableError) as caught:
        dispatch.parse(data, formats.ODT)
    assert caught.value.reason == "ENCRYPTED"


def book(**parts: str) -> bytes:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<metadata><dc:title>A Book</dc:title><dc:creator>An Author</dc:creator></metadata>"
        '<manifest><item id="a" href="text/a%20b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="b" href="text/b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="n" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
        '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        '<item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="nav"/><itemref idref="b"/><itemref idref="a"/>'
        '<itemref idref="gone"/><itemref idref="b"/></spine></package>'
    )
    contents = (
        "<ncx><navMap><navPoint><navLabel><text>Chapter B</text></navLabel>"
        '<content src="text/b.xhtml#x"/></navPoint></navMap></ncx>'
    )
    return zipped(
        {
            "mimetype": formats.EPUB,
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="O/p.opf"/>'
            "</rootfiles></container>",
            "O/p.opf": package,
            "O/toc.ncx": contents,
            "O/nav.xhtml": "<html><body><p>navigation</p></body></html>",
            "O/text/a b.xhtml": "<html><body><h1>Chapter A</h1><p>Text of a.</p></body></html>",
            "O/text/b.xhtml": "<html><body><p>Text of b.</p></body></html>",
        }
        | parts
    )


def test_a_book_is_read_in_the_order_of_its_spine():
    parsed = dispatch.parse(book(), formats.ZIP)
    assert pieces(parsed) == [
        ("heading", "Chapter B"),
        ("paragraph", "Text of b."),
        ("heading", "Chapter A"),
        ("paragraph", "Text of a."),
    ]
    assert (parsed.title, parsed.metadata) == ("A Book", {"author": ("An Author",)})
    assert parsed.warnings == ("chapters that are missing from the file: 1",)


@pytest.mark.parametrize(
    ("method", "is_read"),
    [
        ("http://www.idpf.org/2008/embedding", True),
        ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", False),
    ],
)
def test_scrambled_fonts_are_no_copy_protection(method, is_read):
    rights = (
        f'<encryption><EncryptedData><EncryptionMethod Algorithm="{method}"/></EncryptedData>'
        "</encryption>"
    )
    data = book(**{"META-INF/encryption.xml": rights})
    if is_read:
        assert dispatch.parse(data, formats.EPUB).title == "A Book"
        return
    with pytest.raises(UnparsableError) as caught:
        dispatch.parse(data, formats.EPUB)
    assert caught.value.reason == "ENCRYPTED"


def test_a_container_of_another_type_than_said_is_told():
    data = saved(docx.Document())
    with pytest.raises(UnparsableError) as caught:
        dispatch.parse(data, formats.XLSX)
    assert caught.value.reason == "UNSUPPORTED_CONTENT_TYPE"
    assert "a Word document (.docx)" in caught.value.message
    assert "an Excel workbook (.xlsx)" in caught.value.message


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"a.txt": "x"}, "UNSUPPORTED_CONTENT_TYPE"),
        ({"../../evil.txt": "x"}, "UNSUPPORTED_CONTENT_TYPE"),
        ({"xl/workbook.bin": "x"}, "LEGACY_FORMAT"),
        ({"word/other.xml": "<x/>"}, "PARSE_FAILED"),
        ({"word/document.xml": "no xml"}, "PARSE_FAILED"),
        ({"word/document.xml": "<x/>"}, "PARSE_FAILED"),
        ({"word/document.xml": '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'}, "UNSAFE_CONTENT"),
        ({"word/document.xml": b"<x>" + b" " * (80 << 20) + b"</x>"}, "TOO_LARGE"),
    ],
)
def test_containers_that_are_no_document_are_refused(parts, reason):
    with pytest.raises(UnparsableError) as caught:
        dispatch.parse(zipped(parts), formats.ZIP)
    assert caught.value.reason == reason


def test_a_bomb_that_lies_about_its_size_is_refused():
    data = bytearray(zipped({"word/document.xml": b" " * (80 << 20)}))
    size = (80 << 20).to_bytes(4, "little")
    assert data.count(size) == 2
    while (place := data.find(size)) >= 0:
        data[place : place + 4] = (100).to_bytes(4, "little")
    with pytest.raises(UnparsableError) as caught:
        dispatch.parse(bytes(data), formats.ZIP)
    assert caught.value.reason in {"TOO_LARGE", "PARSE_FAILED"}


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_file_cut_short_is_said_to_be_damaged(cut):
    data = saved(docx.Document())
    with pytest.raises(UnparsableError) as caught:
        dispatch.parse(data[: int(len(data) * cut)], formats.DOCX)
    assert caught.value.reason == "PARSE_FAILED"


def ole(*names: str, following: int = 0xFFFFFFFE) -> bytes:
    """An OLE container whose directory lists these names; `following` is the sector after it."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    struct.pack_into("<H", header, 30, 9)
    struct.pack_into("<I", header, 48, 0)
    struct.pack_into("<I", header, 76, 1)
    directory = bytearray(512)
    for place, name in enumerate(names):
        encoded = name.encode("utf-16-le") + b"\0\0"
        directory[place * 128 : place * 128 + len(encoded)] = encoded
        struct.pack_into("<H", directory, place * 128 + 64, len(encoded))
    table = struct.pack("<I", following) + b"\xff" * 508
    return bytes(header) + bytes(directory) + table


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (ole("Root Entry", "WordDocument"), "LEGACY_FORMAT", "save it as .docx"),
        (ole("Root Entry", "Workbook"), "LEGACY_FORMAT", "save it as .xlsx"),
        (ole("Root Entry", "PowerPoint Document"), "LEGACY_FORMAT", "save it as .pptx"),
        (ole("Root Entry", "__properties_version1.0"), "LEGACY_FORMAT", "save it as .eml"),
        (ole("Root Entry", "EncryptionInfo", "EncryptedPackage"), "ENCRYPTED", "password"),
        (ole("Root Entry", "Other"), "LEGACY_FORMAT", "unknown kind"),
        (ole("Root Entry", "Book", following=0), "LEGACY_FORMAT", "Excel 5.0/95"),
        (ole()[:100], "PARSE_FAILED", "damaged"),
        (ole()[:8] + b"\xff" * 2000, "PARSE_FAILED", "damaged"),
    ],
)
@pytest.mark.parametrize("said", [formats.OLE, formats.DOCX])
def test_legacy_and_encrypted_office_files_are_told_apart(data, reason, words, said):
    with pytest.raises(UnparsableError) as caught:
        dispatch.parse(data, said)
    assert caught.value.reason == reason
    assert words in caught.value.message
