"""PDF and DOCX files as documents, within bounds on what they unpack to.

Rules
- What a file says of its own sizes is added up before anything is unpacked, and never exceeded.
- A page or part that can't be read fails the file: half a document is not taken for a whole one.
- No text is made of pictures: who has scans is told to have them read first.
"""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import mammoth
from bs4 import BeautifulSoup
from pypdf import PasswordType, PdfReader

from littoral.adapters.documents.kinds import refused
from littoral.adapters.documents.texts import markdown_of, stem, tidied
from littoral.memory.passages import Document
from littoral.terms.limits import (
    DOCUMENT_PAGES_MAX,
    DOCUMENT_TEXT_CHARS_MAX,
    DOCUMENT_UNPACKED_BYTES_MAX,
)

__all__ = ["docx_document", "pdf_document"]

_STYLES: Final = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => h2:fresh
"""
_HYPHEN: Final = re.compile(r"(\w)[-\u00ad]\n(?=[a-zà-ÿ])")
_LEADERS: Final = re.compile(r"(?:[ \t]?\.){5,}[ \t]?")
"""Dots between what a table of contents names and its page."""
_TITLE_CHARS_MAX: Final = 300
_MEMBERS_MAX: Final = 10_000


def pdf_document(path: Path, name: str, still: Callable[[int, int], None]) -> Document:
    """A PDF file: its text, and where its pages begin.

    Args:
        path: where it is.
        name: what it is called.
        still: told of each page, and of how many there are.
    """
    reader = PdfReader(path)
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        raise refused(name, "is encrypted", "save it without a password, as with `qpdf --decrypt`")
    count = len(reader.pages)
    if count > DOCUMENT_PAGES_MAX:
        raise refused(name, f"has {count} pages", f"cut it: at most {DOCUMENT_PAGES_MAX} are read")
    texts, pages, length = list[str](), list[int](), 0
    for number, page in enumerate(reader.pages):
        still(number, count)
        text = _LEADERS.sub(" … ", _HYPHEN.sub(r"\1", tidied(page.extract_text())))
        pages.append(length)
        if text:
            texts.append(text)
            length += len(text) + 2
        _check_length(length, name)
    if not texts:
        raise refused(
            name, "has no text, only pictures of it", "have it read first, as with `ocrmypdf`"
        )
    said = reader.metadata.title if reader.metadata else None
    title = " ".join(said.split())[:_TITLE_CHARS_MAX] if isinstance(said, str) else ""
    return Document(
        name=name,
        title=title or stem(name),
        text="\n\n".join(texts),
        markdown=False,
        pages=tuple(pages),
    )


def docx_document(path: Path, name: str) -> Document:
    """A DOCX file, its styles of headings as headings."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if "word/document.xml" not in archive.namelist():
            raise refused(name, "is a ZIP file and no DOCX", "unpack it, and give what is in it")
        size = sum(member.file_size for member in members)
        if size > DOCUMENT_UNPACKED_BYTES_MAX or len(members) > _MEMBERS_MAX:
            raise refused(name, f"unpacks to {size:,} bytes", "save it without pictures, or cut it")
        title = _docx_title(archive)
    with path.open("rb") as file:
        # Pictures are left where they are: only their descriptions are wanted.
        html = mammoth.convert_to_html(
            file, style_map=_STYLES, convert_image=mammoth.images.img_element(lambda _: {})
        ).value
    text = markdown_of(html)
    _check_length(len(text), name)
    heading = re.search(r"^#+ (.{1,300})$", text, re.MULTILINE)
    return Document(name=name, title=title or (heading[1] if heading else stem(name)), text=text)


def _docx_title(archive: zipfile.ZipFile) -> str:
    if "docProps/core.xml" not in archive.namelist():
        return ""
    with archive.open("docProps/core.xml") as file:
        soup = BeautifulSoup(file.read(65_536), "html.parser")
    found = soup.find("dc:title")
    return " ".join(found.get_text().split())[:_TITLE_CHARS_MAX] if found else ""


def _check_length(chars: int, name: str) -> None:
    if chars > DOCUMENT_TEXT_CHARS_MAX:
        raise refused(
            name, f"has over {DOCUMENT_TEXT_CHARS_MAX:,} characters", "cut it into several files"
        )
