"""Control words of RTF that are read, and the code pages of its fonts."""

from __future__ import annotations

import codecs

CHARACTERS = {
    "tab": "\t", "line": "\n", "lquote": "\u2018", "rquote": "\u2019", "ldblquote": "\u201c",
    "rdblquote": "\u201d", "bullet": "\u2022", "endash": "\u2013", "emdash": "\u2014",
    "emspace": "\u2003", "enspace": "\u2002", "zwnj": "\u200c", "zwj": "\u200d",
}  # fmt: skip
IGNORED = frozenset(
    {
        "colortbl", "pict", "object", "objdata", "fldinst", "revtbl", "listtable",
        "listoverridetable", "rsidtbl", "generator", "themedata", "colorschememapping",
        "datastore", "latentstyles", "xmlnstbl", "filetbl", "author", "operator", "creatim",
        "revtim", "printim", "buptim", "company", "manager", "category", "keywords", "doccomm",
        "hlinkbase", "subject", "bkmkstart", "bkmkend", "atnid", "atnauthor", "annotation",
        "atnref", "atndate", "nonshppict", "shprslt", "sp", "tc", "xe", "rxe", "private",
        "ftnsep", "ftnsepc", "ftncn", "aftnsep", "aftnsepc", "aftncn", "background", "template",
        "nonesttables", "mmathPr", "falt", "panose", "pgptbl", "userprops", "do", "comment",
        "datafield",
    }
)  # fmt: skip
"""Destinations whose text is no text of the document."""
CODE_PAGES = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030",
    136: "cp950", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255",
    178: "cp1256", 186: "cp1257",
    204: "cp1251", 222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
"""Encodings by the number of a font's character set."""


def encoding_of(code_page: int) -> str:
    """Returns the encoding of a Windows code page; that of Western Europe for unknown ones."""
    name = {65001: "utf-8", 936: "gb18030", 10000: "mac_roman"}.get(code_page, f"cp{code_page}")
    try:
        codecs.lookup(name)
    except LookupError:
        return "cp1252"
    return name
