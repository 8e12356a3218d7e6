"""What each of the messy tables, pages, mails and texts must come to."""

from __future__ import annotations

from services.ingestion.parsers import formats
from services.ingestion.parsers.formats import CSV, EMAIL, HTML, MARKDOWN, PLAIN, TSV
from tests.kit.file_outcomes import Ready, Refused

_UNIT_TEST_TEXT = (
    "This is a test document to use for unit tests.",
    "Doylestown, PA 18901",
    "Hamburgers are delicious",
    "I love fuzzy blankets",
)

TEXT_FILES: dict[str, Ready | Refused] = {
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
}
