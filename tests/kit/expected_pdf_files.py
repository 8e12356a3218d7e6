"""What each of the messy PDF files must come to."""

from __future__ import annotations

from services.ingestion.parsers.formats import PDF
from tests.kit.file_outcomes import Ready, Refused

PDF_FILES: dict[str, Ready | Refused] = {
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
}
