"""What each of the messy files must come to: its text and structure, or the reason against it."""

from __future__ import annotations

from tests.kit.expected_hostile_files import HOSTILE_FILES
from tests.kit.expected_office_files import OFFICE_FILES
from tests.kit.expected_pdf_files import PDF_FILES
from tests.kit.expected_text_files import TEXT_FILES
from tests.kit.file_outcomes import Ready, Refused

EXPECTED: dict[str, Ready | Refused] = PDF_FILES | OFFICE_FILES | TEXT_FILES | HOSTILE_FILES
