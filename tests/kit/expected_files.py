"""What each of the messy files must come to: its text and structure, or the reason against it."""

from __future__ import annotations

from dataclasses import dataclass

from services.ingestion.parsers import formats


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that is read."""

    content_type: str
    phrases: tuple[str, ...]
    """Texts that stand in it, in this order."""
    cells: tuple[str, ...] = ()
    """Rows of its tables, as lines."""
    headings: tuple[str, ...] = ()
    pages: tuple[tuple[str, int], ...] = ()
    """A text and the page of the block it stands in."""
    under: tuple[tuple[str, str], ...] = ()
    """A text and a heading above it."""
    absent: tuple[str, ...] = ()
    title: str = ""
    warning: str = ""
    once: tuple[str, ...] = ()
    """Texts that stand in it exactly once."""
    kinds: tuple[tuple[str, str], ...] = ()
    """A text and the kind of its block."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not read."""

    reason: str
    words: str
    """In the message: what is wrong or how to mend it."""


PDF, DOCX, PPTX, XLSX = formats.PDF, formats.DOCX, formats.PPTX, formats.XLSX
HTML, PLAIN, MARKDOWN = formats.HTML, formats.PLAIN, formats.MARKDOWN
EMAIL, CSV, TSV = formats.EMAIL, formats.CSV, formats.TSV
_UNIT_TEST_TEXT = (
    "This is a test document to use for unit tests.",
    "Doylestown, PA 18901",
    "Hamburgers are delicious",
    "I love fuzzy blankets",
)

EXPECTED: dict[str, Ready | Refused] = {
    # PDF
    "pdf__layout-parser-paper-fast.pdf": Ready(
        PDF,
        (
            "Recent advances in document image analysis (DIA) have been",
            "primarily driven by the application of neural networks",
            "Deep Learning(DL)-based approaches are the state-of-the-art",
            "LayoutParser provides a unified toolkit to support DL-based document image analysis",
        ),
        headings=("1 Introduction",),
        pages=(("Allen Institute for AI", 1), ("LayoutParser provides a unified toolkit", 2)),
        under=(("Deep Learning(DL)-based approaches", "1 Introduction"),),
        title="LayoutParser: A Unified Toolkit for Deep Learning Based Document Image Analysis",
    ),
    "pdf__multi-column-2p.pdf": Ready(
        PDF,
        (
            "Open-domain question answering relies on efficient passage retrieval to select candidate",
            "establish new state-of-the-art on multiple open-domain QA benchmarks",
            "Open-domain question answering (QA) (Voorhees, 1999) is a task that answers factoid",
            # The end of the left column, then the right one.
            "The code and trained models have been released at",
            "Retrieval in open-domain QA is usually implemented using TF-IDF or BM25",
            "“Who is the bad guy in lord of the rings?”, which can be answered from the context",
            "ORQA successfully demonstrates that dense retrieval can outperform BM25",
        ),
        headings=("Abstract", "1 Introduction"),
        pages=(("multiple components (Ferrucci (2012)", 1),),
        under=(("retrieval can be practically implemented", "Abstract"),),
        title="Dense Passage Retrieval for Open-Domain Question Answering",
    ),
    "pdf__korean-text-with-tables.pdf": Ready(
        PDF,
        ("적립한도 없이 할인점·주유·온라인쇼핑몰 1.5% 빅포인트 적립", "무이자할부"),
        cells=(
            "업종 | 적립 대상",
            "할인점 | 이마트, 이마트 트레이더스, 롯데마트, 홈플러스",
            "주유 | 모든 주유소",
            "편의점 | CU, GS25, 세븐일레븐, 미니스톱",
        ),
        headings=("적립 제외 대상",),
        pages=(("모든 주유소", 1),),
    ),
    "pdf__pdf-with-ocr-text.pdf": Ready(
        PDF,
        ("accepting meabershlp end enclosing their check", "industrydocuments.ucsf.edu"),
        pages=(("enclosing their check and executed contracts", 1),),
    ),
    "pdf__loremipsum-flat.pdf": Refused("NEEDS_OCR", "none of the 1 pages has a text layer"),
    "pdf__copy-protected.pdf": Ready(
        PDF,
        ("LayoutParser: A Unified Toolkit", "Model Zoo"),
        headings=("1 Introduction",),
        pages=(("A rich repository of pre-trained neural network models", 2),),
    ),
    "pdf__password.pdf": Refused("ENCRYPTED", "password"),
    "pdf__failure-after-repair.pdf": Ready(
        PDF,
        (
            "A guide for people with cancer, their families and friends",
            "Cancer is a disease of the cells, which are the body’s basic building blocks",
            "low-dose x-ray of the breast",
        ),
        headings=("Understanding Breast Cancer", "What is cancer?", "Key questions"),
        pages=(("Cancer is a disease of the cells", 6), ("a screening mammogram", 12)),
        under=(("Cancer is a disease of the cells", "What is cancer?"),),
    ),
    "pdf__invalid-pdf-structure-pdfminer-one-page.pdf": Ready(
        PDF,
        (
            "Federal agencies and our nation’s critical infrastructure",
            "In March 2023, the White House issued the National Cybersecurity Strategy",
        ),
        headings=("Challenges", "Opportunities"),
        pages=(
            ("In March 2023, the White House", 1),
            ("Secure federal systems and information", 2),
        ),
        title="GAO-23-106826",
    ),
    "pdf__pdf-bad-color-space.pdf": Ready(
        PDF,
        (
            (
                "The United Nations Intergovernmental Panel on Climate Change is unequivocal: climate "
                "change is an urgent threat to human well-being and the health of the planet."
            ),
            "At Google, we’re working to accelerate the transition to a carbon-free future.",
            "operate our data centers and office campuses on 24/7",
        ),
        headings=("Net-zero carbon", "Our ambition", "Charting our path"),
        under=(("Achieving net-zero emissions and 24/7 CFE by 2030", "Charting our path"),),
    ),
    "pdf__negative-coords.pdf": Ready(
        PDF,
        (
            "All reviewed LCA studies up to now cover in total 67.3% of the total scope 3",
            "Apple’s assessment approach is excellent in terms of granularity",
            "Berlin, March 21, 2022",
        ),
        cells=("Fraunhofer IZM | Fraunhofer IZM",),
        headings=("4 Conclusions", "Reviewer Credentials and Qualification"),
    ),
    "pdf__embedded-cmap-cidfont.pdf": Ready(
        PDF,
        ("Heading in Helvetica", "This text uses an embedded CMap and should be extractable"),
    ),
    "pdf__fake-bold-sample.pdf": Ready(
        PDF,
        ("Fake Bold PDF Test Document", "BOLD TEXT SAMPLE", "The quick brown fox jumps"),
        absent=("BBOOLLDD TTEEXXTT",),
        once=("BOLD TEXT SAMPLE",),
    ),
    "pdf__figure-overlay-text.pdf": Ready(
        PDF, ("Printed Name: Jane Doe",), once=("Printed Name: Jane Doe",)
    ),
    "pdf__all-number-table.pdf": Ready(
        PDF, ("200.01",), cells=("200.01 | 1", "1000.01 | 9", "1600.01 | 15")
    ),
    "pdf__fake-memo-with-duplicate-page.pdf": Ready(
        PDF,
        ("May 5, 2023", "20,000 bottles of water, 10,000 blankets, and 200 laptops"),
        pages=(("May 5, 2023", 1),),
    ),
    "rotated-page-90.pdf": Ready(
        PDF, ("Hello World Test Text", "Second line of text here", "Rotated page fixture")
    ),
    "language-docs__fr_olap.pdf": Ready(
        PDF,
        (
            "Une façon d’assister l’analyse d’entrepôt de données repose sur l’exploitation et la",
            "Il est maintenant établi que l’exploitation des logs de requêtes",
        ),
        headings=("1 Introduction", "3 Le langage QSL", "3.1 Définitions préliminaires"),
        pages=(("Les dimensions de notre exemple jouet", 2),),
        title="Résumés et interrogations de logs de requêtes OLAP",
    ),
    "015-arabic__habibi.pdf": Ready(PDF, ("حَبيبي", "habibi")),
    "015-arabic__habibi-rotated.pdf": Ready(
        PDF, ("حَبيبي", "habibi"), pages=(("habibi", 1), ("habibi حَبيبي", 2))
    ),
    "005-libreoffice-writer-password__libreoffice-writer-password.pdf": Refused(
        "ENCRYPTED", "password"
    ),
    "010-pdflatex-forms__pdflatex-forms.pdf": Ready(PDF, ("Name", "Check", "Submit")),
    "014-outlines__mistitled_outlines_example.pdf": Ready(
        PDF,
        ("Contents", "1 Foo", "2 Bar", "3 Baz", "9 Baz"),
        cells=("1 | Foo | 2", "9 | Baz | 4"),
        headings=("1 Foo", "8 Bar"),
        pages=(("3 Baz", 2), ("8 Bar", 4)),
    ),
    "024-annotations__annotated_pdf.pdf": Ready(
        PDF,
        ("Some text.", "Not highlighted", "This is a text annotation.", "Highlight comment"),
    ),
    # A third of it are zeros: the page tree is gone.
    "017-unreadable-meta-data__unreadablemetadata.pdf": Refused("PARSE_FAILED", "damaged"),
    "021-pdfa__crazyones-pdfa.pdf": Ready(
        PDF,
        ("The Crazy Ones", "The round pegs in the square holes.", "they can change the world"),
        headings=("The Crazy Ones",),
    ),
    "008-reportlab-inline-image__inline-image.pdf": Ready(PDF, ("Test",)),
    "ntsb-aviation-incident-accident-reports__data__v1__docs__20080102X00002.pdf": Ready(
        PDF,
        ("owned by Airclub Besancon la Veze and piloted by the accident pilot",),
        cells=(
            "Location: | Chevroux, France | Accident Number: | DEN08WA042",
            "Aircraft: | Reims F172 M | Aircraft Damage: | Destroyed",
        ),
        headings=("Pilot Information", "Aircraft and Owner/Operator Information"),
        pages=(("DEN08WA042", 1), ("Lycoming", 2)),
    ),
    "us-fed-agency-reports__data__v1__docs__NARA2022.pdf": Ready(
        PDF,
        (
            "NARA 2022–2026 Strategic Plan",
            "By FY 2026, NARA will process 85 percent of archival holdings",
        ),
        headings=("1. Access", "1.1. Holdings & Descriptions"),
        pages=(("NARA will process 85 percent of archival holdings", 4),),
        under=(("NARA will process 85 percent", "1.1. Holdings & Descriptions"),),
    ),
    "us-fed-agency-reports__data__v1__docs__GSA2022.pdf": Ready(
        PDF,
        (
            "GSA Strategic Plan",
            "Achieve 100% renewable electricity sources by 2025 and 100% carbon pollution-free",
        ),
        headings=("1. Real Estate", "1.1. Workspaces & Services"),
        pages=(("100% renewable electricity sources by 2025", 8),),
    ),
    "mtragun-human__MTRAG-UN-arxiv.pdf": Ready(
        PDF,
        (
            "We present MTRAG-UN, a benchmark for exploring open challenges in multi-turn retrieval",
            "Seeking information continues to be a popular use case",
            "the user question is not answerable (Katsis et al., 2025)",
            "Our contributions are as follows",
        ),
        headings=("Abstract", "1 Introduction", "2.1 Task Definitions"),
        pages=(("666 tasks for evaluating Retrieval, Generation", 2),),
        title="MTRAG-UN: A Benchmark for Open Challenges in Multi-Turn RAG Conversations",
    ),
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
    # Tables as text
    "csv-with-long-lines.csv": Ready(
        CSV, ("SpearmanCorrelationCoefficient | 1Freq CD161CD8TfrequencyUnstim",)
    ),
    "csv-with-escaped-commas.csv": Ready(
        CSV, ("A | A | A",), cells=("A | A | A | A | A", "A | A | A | A,A | A")
    ),
    "semicolon-delimited.csv": Ready(
        CSV,
        ("Lorem, ipsum",),
        cells=("Lorem, ipsum | dolor sit | amet", "ut labore | et, dolore | magna aliqua"),
    ),
    "stanley-cups-utf-16.csv": Ready(
        CSV, ("Stanley Cups",), cells=("Team | Location | Stanley Cups", "Maple Leafs | TOR | 13")
    ),
    "stanley-cups-with-emoji.tsv": Ready(
        TSV, ("Stanley Cups",), cells=("Flyers | PHI | 2", "👨\\U+1F3FB🔧 | TOR | 15")
    ),
    # Web pages
    "example-10k-1p.html": Ready(
        HTML,
        ("Galaxy Gaming, Inc.", "Indicate by check mark if the registrant is a well-known"),
        cells=("Common stock | GLXZ | OTCQB marketplace", "Nevada | 20-8143439"),
    ),
    "example-10k.html": Ready(
        HTML,
        ("SECURITIES AND EXCHANGE COMMISSION", "For the fiscal year ended December 31, 2021"),
        cells=(
            "Licensing fees | $19,984,378 | $10,230,316",
            "Income (loss) from operations | 4,345,126 | (2,255,010)",
            "Total assets | $40,452,705 | $30,574,594",
        ),
    ),
    "example-steelJIS-datasheet-utf-16.html": Ready(
        HTML,
        ("SteelJIS: Japanese Steels and Alloys", "日本語", "JIS G 4108 : Alloy steel bars", "成分"),
        headings=("SNB22-3 Chemical composition, standards and properties",),
        title="SNB22-3 - SteelJIS - Datasheet",
    ),
    "example-with-scripts.html": Ready(
        HTML,
        (
            "Russian Offensive Campaign Assessment, December 13",
            "Russian forces made marginal advances within Bakhmut",
        ),
        absent=("function(", "jQuery", "{display:"),
    ),
    "fake-html-cp1252.html": Ready(
        HTML,
        (
            "My First Heading",
            "Die schöne Frau hat einen Kaffee mit Kuchen gegessen.",
            "15,50 €",
            "L'été était très chaud",
            "El niño comió paella con ñoquis",
            "Kvinnan åt köttbullar",
            "O João comprou um café",
        ),
        headings=("My First Heading",),
        warning="cp1252",
    ),
    "fake-html-pre.htm": Ready(
        HTML,
        ("(USA PATRIOT ACT) ACT OF", "<<NOTE: Oct. 26, 2001", "Approved October 26, 2001."),
        kinds=(("SECTION 1. SHORT TITLE AND TABLE OF CONTENTS.", "code"),),
    ),
    "fake-html-with-base64-image.html": Ready(HTML, ("Test page",), absent=("base64",)),
    "ideas-page.html": Ready(
        HTML,
        (
            "January 2023",
            "The way to get new ideas is to notice anomalies",
            "exploring such gaps yields whole new fractal buds.",
        ),
        kinds=(("Knowledge grows fractally.", "paragraph"),),
        title="How to Get New Ideas",
    ),
    # Mail
    "eml__email-no-utf8-2014-03-17.111517.eml": Ready(
        EMAIL,
        (
            "Subject: Google Account password changed",
            "The password for your Google Account",
            "© 2014 Google Inc.",
        ),
        title="Google Account password changed",
        warning="google.png",
    ),
    "eml__email-replace-mime-encodings-error-1.eml": Ready(
        EMAIL,
        ("From: Zoom", "Someone has joined your meeting:", "Meeting ID", "869 1664 1575"),
        absent=("ARC-Seal", "X-Gmail-Labels"),
    ),
    "eml__fake-email-malformed-encoding.eml": Ready(
        EMAIL,
        ("Subject: Test Email", "This is a test email to use for unit tests.", "Roses are red"),
        kinds=(("Violets are blue", "list"),),
        once=("Roses are red",),
    ),
    "eml__mime-multipart-digest.eml": Ready(
        EMAIL,
        ("Cc: carol@example.com", "This is the first message", "This is the third message"),
        headings=("Message: First Message", "Message: Third Message"),
        under=(("This is the second message in the digest.", "Message: Second Message"),),
    ),
    "eml__mime-different-plain-html.eml": Ready(
        EMAIL,
        ("This is the text/html part.", "networked email was sent by Ray Tomlinson in 1971"),
    ),
    "eml__fake-email-attachment.eml": Ready(
        EMAIL,
        (
            "Subject: Fake email with attachment",
            "Here's the attachments!",
            "Lots of whitespace",
            "Hey this is a fake attachment!",
        ),
        headings=("Attachment: fake-attachment.txt",),
        under=(("Hey this is a fake attachment!", "Attachment: fake-attachment.txt"),),
    ),
    "eml__fake-encrypted.eml": Refused("ENCRYPTED", "the message is encrypted"),
    "eml__empty.eml": Refused("EMPTY_TEXT", "no text"),
    "fake-email-attachment.msg": Refused("LEGACY_FORMAT", "save it as .eml"),
    # Plain text and Markdown
    "fake-text-utf-16-le.txt": Ready(PLAIN, _UNIT_TEST_TEXT),
    "fake-text-utf-32.txt": Ready(PLAIN, _UNIT_TEST_TEXT),
    "fake-text-all-whitespace.txt": Refused("EMPTY_TEXT", "no text"),
    "empty.txt": Refused("EMPTY_TEXT", "empty"),
    "umlauts-non-utf8.md": Ready(
        MARKDOWN, ("können", "äöüß"), headings=("## können",), warning="cp1252"
    ),
    "hebrew-text-base64-iso88598i.txt": Ready(
        PLAIN, ("עדכון Tesla - נדרשת חתימה על הבקשה לרישום",), warning="Base64"
    ),
    "language-docs__UDHR_first_article_all.txt": Ready(
        PLAIN,
        (
            "Universal Declaration of Human Right - First article, all languages",
            "是人都生而自由，在尊严和权利上一律平等",
            "born free and equal in dignity and rights",
        ),
    ),
    "norwich-city.txt": Ready(
        PLAIN,
        ("Iwan Roberts", "1997–2004 Norwich City 278 (84)", "26 June 1968"),
        absent=("â\x80",),
    ),
    "codeblock.md": Ready(
        MARKDOWN,
        ("## HTML Example", "<h1>Hello, World!</h1>", "<to>Tove</to>"),
        headings=("## HTML Example", "## XML Example"),
        kinds=(("<h1>Hello, World!</h1>", "code"),),
        under=(("<h1>Hello, World!</h1>", "HTML Example"),),
    ),
    "README.md": Ready(
        MARKDOWN,
        ("## Example Docs", "`factbook.xml`/`factbook.xsl`", "curl -O"),
        headings=("## Example Docs", "#### XBRL 10-K"),
        kinds=(("curl -O", "code"), ("layout-parser-paper.pdf", "list")),
        title="Example Docs",
    ),
    "winter-sports.epub": Ready(
        formats.EPUB,
        ("Title: Winter Sports in Switzerland", "tired of skating", "NOTES ON WINTER RESORTS"),
        headings=("THE SUN-SEEKER", "RINKS AND SKATERS", "ICE-HOCKEY", "SKI-ING"),
        under=(("when they are tired of skating", "THE SUN-SEEKER"),),
        title="Winter Sports in Switzerland",
    ),
    "simple.zip": Refused("UNSUPPORTED_CONTENT_TYPE", "archive; unpack it"),
    "factbook.xml": Ready(
        formats.XML,
        ("name: United States", "leader: Justin Trudeau", "sport: Track & Field"),
        kinds=(("capital: Washington, DC\nleader: Joe Biden", "list"),),
    ),
    "spring-weather.html.json": Ready(
        formats.JSON,
        ("type: Title", "text: News Around NOAA", "text: Are You Weather-Ready for the Spring?"),
        kinds=(("text: News Around NOAA", "list"),),
    ),
    # Made to do harm, or to be misread
    "hostile-bomb-200MB.docx": Refused("TOO_LARGE", "unpacks to more than"),
    "hostile-billion-laughs.xml": Refused("UNSAFE_CONTENT", "entities"),
    "hostile-xxe.xml": Refused("UNSAFE_CONTENT", "entities"),
    "hostile-truncated.pdf": Refused("PARSE_FAILED", "damaged"),
    "hostile-not-a.pdf": Refused("UNSUPPORTED_CONTENT_TYPE", "its content is not"),
    "hostile-nulls.pdf": Refused("PARSE_FAILED", "damaged"),
    "hostile-nested.html": Ready(HTML, ("deep",)),
    "hostile-huge-table.html": Ready(HTML, ("7 | 8 | 9",)),
    "hostile-huge-table.csv": Ready(
        CSV,
        ("id | name | value",),
        cells=("0 | row 0 | 0", "59999 | row 59999 | 3599880001"),
        under=(("0 | row 0 | 0", "id | name | value"),),
    ),
    "hostile-zip-slip.zip": Refused("UNSUPPORTED_CONTENT_TYPE", "archive; unpack it"),
    "hostile-injection.md": Ready(
        MARKDOWN,
        ("Quarterly revenue was 12.4 million euro.", "Ignore previous instructions"),
        headings=("# Notes",),
    ),
    "rtl-mixed.txt": Ready(PLAIN, ("שלום world \u202egnp.exe\u202c", "مرحبا بالعالم 123")),
    "cjk-gb18030.txt": Ready(
        PLAIN, ("检索增强生成平台的解析测试。第二句：数据质量。",), warning="gb18030"
    ),
    "cjk-shiftjis.txt": Ready(PLAIN, ("検索拡張生成のテスト文書です。",), warning="cp932"),
    "latin1.txt": Ready(PLAIN, ("Müller aß größere Brötchen für 3 EUR.",), warning="cp1252"),
    "koi8-r.txt": Ready(PLAIN, ("Проверка кодировки КОИ-8 для документов.",), warning="koi8"),
    "one-line-2MB.txt": Ready(PLAIN, ("word word word",)),
    "combining-zalgo.txt": Ready(
        # As in the file: citations quote it.
        PLAIN,
        ("Z̴̧͎̗a̸͉͂l̷g̶o", "n̈ormalisation: ﬁ ﬂ Å Å ½ ＡＢＣ"),
    ),
}
