"""Small PDF files, written by hand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Words on a page, in points from its left lower corner."""

    x: float
    y: float
    text: str
    size: float = 10
    is_bold: bool = False
    mode: int = 0
    """Rendering mode; 3 is invisible, as under scanned pages."""


def pdf(
    pages: Sequence[Sequence[Text]],
    *,
    outline: Sequence[tuple[str, int]] = (),
    rotate: int = 0,
    annotations: str = "",
    catalog: str = "",
) -> bytes:
    """Returns a PDF.

    Args:
        pages: The texts of each page, in the order they are drawn.
        outline: Titles and the indexes of their pages.
        rotate: How all pages are turned.
        annotations: Objects of annotations on the first page.
        catalog: Entries of the catalog.
    """
    objects = ["", ""]
    kids = []
    for number, texts in enumerate(pages):
        stream = "\n".join(
            f"BT /F{2 if each.is_bold else 1} {each.size} Tf {each.mode} Tr {each.x} {each.y} Td "
            f"({each.text}) Tj ET"
            for each in texts
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        fonts = " ".join(
            f"/F{place} << /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>"
            for place, name in ((1, "Helvetica"), (2, "Helvetica-Bold"))
        )
        extra = f"/Annots [{annotations}]" if annotations and not number else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Rotate {rotate} {extra} "
            f"/Contents {len(objects)} 0 R /Resources << /Font << {fonts} >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    if outline:
        root = len(objects) + 1
        objects.append(
            f"<< /Type /Outlines /First {root + 1} 0 R /Last {root + len(outline)} 0 R /Count "
            f"{len(outline)} >>"
        )
        for place, (title, page) in enumerate(outline, 1):
            following = f"/Next {root + place + 1} 0 R" if place < len(outline) else ""
            objects.append(
                f"<< /Title ({title}) /Parent {root} 0 R /Dest [{kids[page]} /Fit] {following} >>"
            )
        catalog += f" /Outlines {root} 0 R"
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R {catalog} >>"
    return _written(objects)


def _written(objects: Sequence[str]) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1"))
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.writelines(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    out.write(
        f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF".encode()
    )
    return out.getvalue()
