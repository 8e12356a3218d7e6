"""PDF pages: reading order, tables, headings, headers, forms, notes and hidden text."""

from __future__ import annotations

import pytest

from services.ingestion.parsers import pdf as pdf_parser
from services.ingestion.parsers.options import OcrHook, ParseOptions
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from tests.kit.pdf_files import Text, pdf

LEFT = [
    "The first column tells about granite and",
    "how it comes to be where we find it now,",
    "deep under mountains that are long gone",
    "and in walls of houses that still stand.",
]
RIGHT = [
    "A second column speaks of basalt instead",
    "which flows from vents and cools quickly",
    "into columns of its own with six sides",
    "that people took for the work of giants.",
]


def pieces(parsed: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, parsed.text[block.start : block.end]) for block in parsed.blocks]


def column(lines: list[str], x: float, top: float = 700) -> list[Text]:
    return [Text(x, top - 12 * place, line) for place, line in enumerate(lines)]


def flowing(*columns: list[Text]) -> list[Text]:
    """The lines of columns, drawn row by row as some programs do."""
    return [each for row in zip(*columns, strict=True) for each in row]


def test_columns_are_read_one_after_the_other():
    page = [
        Text(60, 740, "A title over the whole width of both of the columns", 18),
        *flowing(column(LEFT, 60), column(RIGHT, 320)),
        Text(
            60, 640, "A line below that goes from the left margin over the gap to the right margin."
        ),
    ]
    assert pieces(pdf_parser.parse(pdf([page]))) == [
        ("heading", "A title over the whole width of both of the columns"),
        ("paragraph", " ".join(LEFT)),
        ("paragraph", " ".join(RIGHT)),
        (
            "paragraph",
            "A line below that goes from the left margin over the gap to the right margin.",
        ),
    ]


def test_cells_that_stand_below_each_other_are_a_table():
    rows = [
        ("City", "People", "Founded"),
        ("Paris", "2,100,000", ""),
        ("Rome", "2,800,000", "-753"),
    ]
    page = [Text(60, 740, "Some words before the table come first.")]
    for place, row in enumerate(rows):
        page += [Text(60 + 150 * at, 700 - 14 * place, cell) for at, cell in enumerate(row) if cell]
    assert pieces(pdf_parser.parse(pdf([page]))) == [
        ("paragraph", "Some words before the table come first."),
        ("table", "City | People | Founded\nParis | 2,100,000\nRome | 2,800,000 | -753"),
    ]


def test_words_broken_at_line_ends_are_put_together():
    lines = ["The docu-", "mentation of the two-", "sided thing says two-sided again."]
    parsed = pdf_parser.parse(pdf([column(lines, 60)]))
    assert parsed.text == "The documentation of the two-sided thing says two-sided again."


def test_headings_are_larger_bold_or_in_the_outline():
    page = [
        Text(60, 740, "The Whole", 20),
        *column(LEFT, 60, 700),
        Text(60, 640, "Bold part", is_bold=True),
        *column(RIGHT, 60, 620),
        Text(60, 560, "Plain part"),
        *column(LEFT, 60, 530),
    ]
    parsed = pdf_parser.parse(pdf([page], outline=[("Plain  part", 0), ("Nowhere", 0)]))
    headings = [block for block in parsed.blocks if block.kind == "heading"]
    assert [block.heading_path[-1] for block in headings] == [
        "The Whole",
        "Bold part",
        "Plain part",
    ]
    assert headings[1].heading_path == ("The Whole", "Bold part")
    assert all(block.page == 1 for block in parsed.blocks)


def test_running_headers_are_kept_once_and_page_numbers_not_at_all():
    pages = [
        [
            Text(60, 770, "Annual report of the quarry"),
            *column(LEFT if number % 2 else RIGHT, 60),
            Text(300, 30, f"Page {number + 1} of 4"),
        ]
        for number in range(4)
    ]
    parsed = pdf_parser.parse(pdf(pages))
    assert parsed.text.count("Annual report") == 1
    assert "Page 3" not in parsed.text
    assert [
        block.page for block in parsed.blocks if "column" in parsed.text[block.start : block.end]
    ] == [1, 2, 3, 4]


def test_lines_that_differ_in_what_they_count_are_no_running_headers():
    totals = [431, 77, 1200, 9]
    pages = [
        [
            Text(60, 770, f"Delivery note, page {number + 1}"),
            *column(LEFT, 60),
            Text(60, 600, f"Total: {total} tons"),
        ]
        for number, total in enumerate(totals)
    ]
    parsed = pdf_parser.parse(pdf(pages))
    assert [total for total in totals if f"Total: {total} tons" in parsed.text] == totals
    assert parsed.text.count("Delivery note") == 1


def test_a_chapter_on_each_page_keeps_its_heading_and_first_sentence():
    pages = [
        [
            Text(60, 770, f"Chapter {number}", 18),
            Text(60, 740, f"This is what page {number} begins with."),
            *column(LEFT if number % 2 else RIGHT, 60),
            Text(300, 30, f"The book of stones {number}"),
        ]
        for number in range(1, 6)
    ]
    parsed = pdf_parser.parse(pdf(pages))
    for number in range(1, 6):
        assert f"Chapter {number}" in parsed.text
        assert f"page {number} begins" in parsed.text
    assert parsed.text.count("The book of stones") == 1


def test_a_page_with_nothing_but_what_looks_like_a_header_keeps_it():
    pages = [[Text(60, 700, f"This is what page {number + 1} says.")] for number in range(5)]
    parsed = pdf_parser.parse(pdf(pages))
    assert [(block.page, parsed.text[block.start : block.end]) for block in parsed.blocks] == [
        (number, f"This is what page {number} says.") for number in range(1, 6)
    ]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_turned_pages_are_read(rotate):
    parsed = pdf_parser.parse(pdf([column(LEFT, 60)], rotate=rotate))
    assert parsed.text == " ".join(LEFT)


def test_text_hidden_under_a_scan_is_used():
    page = [Text(60, 700, "Read by a machine before.", mode=3)]
    assert pdf_parser.parse(pdf([page])).text == "Read by a machine before."


def test_text_printed_twice_is_read_once():
    page = [Text(60, 700, "Shadow"), Text(60.4, 699.8, "Shadow"), Text(60, 650, "Shadow")]
    assert pdf_parser.parse(pdf([page])).text.split() == ["Shadow", "Shadow"]


def test_form_fields_and_notes_are_read():
    field = (
        "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Name) /V (Ada Lovelace) "
        "/Rect [60 600 200 620] >>"
    )
    note = "<< /Type /Annot /Subtype /Text /Contents (Please check.) /Rect [10 10 20 20] >>"
    data = pdf(
        [[Text(60, 700, "A form.")]],
        annotations=field + note,
        catalog=f"/AcroForm << /Fields [{field}] >>",
    )
    parsed = pdf_parser.parse(data)
    assert pieces(parsed)[0] == ("paragraph", "A form.")
    assert "Note: Please check." in parsed.text
    assert parsed.blocks[-1].page == 1


def read_loudly(image: bytes, page: int) -> str:
    assert image.startswith(b"\x89PNG")
    return f"Text of page {page}.\n\nSecond paragraph."


def fail(image: bytes, page: int) -> str:
    raise UnparsableError("NEEDS_OCR", f"nothing read on page {page}")


def scanned(pages: list[list[Text]]) -> bytes:
    """A PDF whose pages without text show a rectangle."""
    return pdf(pages).replace(b"<< /Length 0 >>\nstream\n\nendstream", b"<< /Length 16 >>\nstream\n10 10 99 99 re f\nendstream")  # fmt: skip


def test_pages_without_text_go_through_the_hook():
    hook = OcrHook(entry_point=f"{__name__}:read_loudly")
    parsed = pdf_parser.parse(scanned([[Text(60, 700, "Typed.")], []]), ParseOptions(ocr=hook))
    assert pieces(parsed) == [
        ("paragraph", "Typed."),
        ("paragraph", "Text of page 2."),
        ("paragraph", "Second paragraph."),
    ]
    assert [block.page for block in parsed.blocks] == [1, 2, 2]
    assert parsed.warnings == ("text recognised from images on pages 2",)


def test_a_hook_that_fails_costs_its_page_only():
    hook = OcrHook(entry_point=f"{__name__}:fail")
    parsed = pdf_parser.parse(scanned([[Text(60, 700, "Typed.")], []]), ParseOptions(ocr=hook))
    assert parsed.text == "Typed."
    assert parsed.warnings == ("page 2 has no text and needs OCR", "nothing read on page 2")
    with pytest.raises(UnparsableError) as caught:
        pdf_parser.parse(scanned([[]]), ParseOptions(ocr=hook))
    assert (caught.value.reason, caught.value.message) == ("NEEDS_OCR", "nothing read on page 1")


@pytest.mark.parametrize(
    ("command", "text"),
    [(("sh", "-c", "cat >/dev/null; echo found"), "found"), (("sh", "-c", "exit 3"), "status 3")],
)
def test_the_hook_may_be_a_program(command, text):
    options = ParseOptions(ocr=OcrHook(command=command))
    if text == "found":
        assert pdf_parser.parse(scanned([[]]), options).text == text
        return
    with pytest.raises(UnparsableError) as caught:
        pdf_parser.parse(scanned([[]]), options)
    assert text in caught.value.message


def test_blank_pages_are_no_scans():
    with pytest.raises(UnparsableError) as caught:
        pdf_parser.parse(pdf([[], []]))
    assert caught.value.reason == "EMPTY_TEXT"
