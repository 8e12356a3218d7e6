"""What each of the messy office files must come to."""

from __future__ import annotations

from services.ingestion.parsers import formats
from services.ingestion.parsers.formats import DOCX, PPTX, XLSX
from tests.kit.file_outcomes import Ready, Refused

OFFICE_FILES: dict[str, Ready | Refused] = {
    # Word
    "docx-tables.docx": Ready(
        DOCX,
        ("Simple uniform table", "Nested Table", "Table with merged cells"),
        cells=(
            "Header Col 1 | Header Col 2",
            "Lorem ipsum | A link example",
            "d | e, f; g&t, h | i",
            "a | c | d",
        ),
    ),
    "docx-hdrftr.docx": Ready(
        DOCX, ("Main document", "First header para", "Last header para", "para1", "para2")
    ),
    "tables-with-incomplete-rows.docx": Ready(
        DOCX,
        ("one or more rows is missing cells from the end", "WTF?"),
        cells=("a | b", "c | d", "b | c | d", " | More", " | Format"),
    ),
    "handbook-1p.docx": Ready(
        DOCX,
        (
            "CHAPTER 1",
            "The United States Trustee appoints and supervises standing trustees",
            "The Bankruptcy Reform Act of 1978 removed the bankruptcy judge",
        ),
        pages=(("appoints and supervises", 1), ("The Bankruptcy Reform Act of 1978", 2)),
    ),
    "handbook-872p.docx": Ready(
        DOCX,
        (
            "Handbook for",
            "the applicant must qualify to be bonded",
            "requires the standing trustee to maintain a bond",
        ),
        headings=("A. PURPOSE", "E. SURETY BONDS", "I. EXERCISE OF AVOIDANCE POWERS"),
        under=(
            ("requires the standing trustee to maintain a bond", "E. SURETY BONDS"),
            (
                "requires the standing trustee to maintain a bond",
                (
                    "CHAPTER 2 – APPOINTMENT, QUALIFICATIONS, PERCENTAGE FEE AND COMPENSATION OF THE "
                    "STANDING TRUSTEE"
                ),
            ),
        ),
    ),
    "grid_offset_error.docx": Ready(DOCX, ("A | Merged B1-B3",), cells=("A | Merged B1-B3", "C")),
    "page-breaks.docx": Ready(
        DOCX,
        (
            "First page, tab here: followed by",
            "<<Text on second page.",
            "followed by text on same page",
        ),
        pages=(
            ("First page, tab here", 1),
            ("<<Text on second page.", 2),
            ("Continuous section break here", 3),
            ("followed by text on same page", 3),
            ("producing two page-breaks to get from page-3 to page-5", 5),
        ),
    ),
    "duplicate-paragraphs.doc": Refused("LEGACY_FORMAT", "Word 97–2003 document (.doc)"),
    # Other office formats
    "language-docs__eng_spa_mult.odt": Ready(
        formats.ODT,
        ("All human beings are born free and equal", "Todos los seres humanos nacen libres"),
    ),
    "language-docs__eng_spa_mult.rtf": Ready(
        formats.RTF,
        (
            "All human beings are born free and equal",
            "dotados como están de razón y conciencia",
        ),
    ),
    "fake-doc.rtf": Ready(
        formats.RTF,
        ("My First Heading", "My first paragraph.", "Table Example:"),
        cells=("Column 1 | Column 2", "Row 2, Cell 1 | Row 2, Cell 2"),
        headings=("My First Heading",),
    ),
    "fake-power-point-malformed.pptx": Ready(
        PPTX, ("Test Slide",), headings=("Test Slide",), pages=(("Test Slide", 1),)
    ),
    "fake-power-point-table.pptx": Ready(
        PPTX,
        ("A Slide with a Table",),
        cells=("Column 1 | Column 2 | Column 3", "Tangerine | Pink | Aqua"),
        under=(("Purple | Orange | Yellow", "A Slide with a Table"),),
        pages=(("Purple | Orange | Yellow", 1),),
    ),
    "group-shapes-nested.pptx": Ready(
        PPTX, tuple("ABDHCEFGIJ"), pages=(("A", 1),), once=tuple("ABCDEFGHIJ")
    ),
    "science-exploration-1p.pptx": Ready(
        PPTX,
        (
            "GSFC: Sciences and Exploration Directorate",
            "Code 610: Earth Sciences Division",
            "  - Code 606: Computational and Information Sciences",
            "Code 700: Information Technology and Communication Directorate",
        ),
        kinds=(("Code 690: Solar System Exploration Division", "list"),),
        pages=(("Virtual Machine Environment Scorecard", 1),),
    ),
    "fake-power-point.ppt": Refused("LEGACY_FORMAT", "PowerPoint 97–2003 presentation (.ppt)"),
    "2023-half-year-analyses-by-segment.xlsx": Ready(
        XLSX,
        ("3. Analyses by segment", "Reconciliation"),
        cells=(
            "Zone NA | 12,553 | 2,713 | 2,632 | (81) | (29) | (44) | (337)",
            "Other businesses (d) | 137 | (17) | (17) | — | (1) | — | (19)",
        ),
        headings=(
            "OS-Rev.and results 30 06 2023",
            "OS-Other information 30 06 2023",
            "Prod.Rev.and results 30 06 2023",
            "Prod.-Other inform. 30 06 23",
            "Reconciliation 30 06 2023",
        ),
        under=(("Zone NA | 12,553", "OS-Rev.and results 30 06 2023"),),
    ),
    "xlsx-subtable-cases.xlsx": Ready(
        XLSX, ("a | b",), cells=("a | b", "c | d | e", " |  | - f", "a | b | c", " | 2. e")
    ),
    "more-than-1k-cells.xlsx": Ready(XLSX, ("Sheet1", "x | x | x"), headings=("Sheet1",)),
    "password_protected.xlsx": Refused("ENCRYPTED", "password"),
    "empty.xlsx": Refused("EMPTY_TEXT", "no text"),
    "emoji.xlsx": Ready(XLSX, ("🤠😅",), headings=("Sheet1",)),
    "tests-example.xls": Refused("LEGACY_FORMAT", "Excel 97–2003 workbook (.xls)"),
}
