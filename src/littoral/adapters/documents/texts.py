"""Text, Markdown and HTML files as documents.

Rules
- Text is UTF-8, or UTF-16 that says so; other encodings are refused, not guessed.
- Of HTML there stays what a person reads: no scripts, no addresses of links, no pictures but their
  descriptions.
"""

import codecs
import re
from pathlib import Path, PurePath
from typing import Final

from bs4 import BeautifulSoup
from markdownify import MarkdownConverter

from littoral.adapters.documents.kinds import refused
from littoral.memory.passages import Document
from littoral.terms.limits import DOCUMENT_TEXT_CHARS_MAX

__all__ = ["html_document", "markdown_of", "plain_document", "read_text", "stem", "tidied"]

_HEADING: Final = re.compile(
    r"^ {0,3}#[ \t]+(.{1,300}?)[ \t#]*$|^(.{1,300})\n=+[ \t]*$", re.MULTILINE
)
_FRONT: Final = re.compile(r"\A---[ \t]*\n(.{0,16384}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE: Final = re.compile(r"^title:[ \t]*[\"']?(.{1,300}?)[\"']?[ \t]*$", re.MULTILINE)
_BLANK: Final = re.compile(r"\n[ \t]*(?:\n[ \t]*)+\n")
_TITLE_LOOK_CHARS: Final = 65_536
_UNREAD: Final = [
    *("script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "nav"),
    *("form", "button", "input", "select", "textarea"),
]


def read_text(path: Path, name: str) -> str:
    """A file of text.

    Raises:
        BadRequestError: it is in no Unicode encoding, or too long; as all here.
    """
    return _decoded(path.read_bytes(), name)


def plain_document(path: Path, name: str, *, markdown: bool) -> Document:
    """A file of text or Markdown."""
    text = read_text(path, name)
    if not markdown:
        return Document(name=name, title=stem(name), text=tidied(text), markdown=False)
    front = _FRONT.match(text)
    title = _FRONT_TITLE.search(front[1]) if front else None
    text = text[front.end() :] if front else text
    return Document(
        name=name, title=title[1] if title else _first_heading(text, name), text=tidied(text)
    )


def html_document(path: Path, name: str) -> Document:
    """A file of HTML."""
    raw = path.read_bytes()
    head = raw[:1_024].lower()
    # What says its encoding in itself is read by it; everything else is held to Unicode.
    said = b"charset" in head or head.startswith(b"<?xml")
    soup = BeautifulSoup(raw if said else _decoded(raw, name), "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    if soup.head is not None:
        soup.head.decompose()
    text = _converted(soup)
    return Document(name=name, title=title[:300] or _first_heading(text, name), text=text)


def markdown_of(html: str) -> str:
    """A piece of HTML as Markdown."""
    return _converted(BeautifulSoup(html, "html.parser"))


def stem(name: str) -> str:
    """What a file is called, without where it lies and what it is."""
    return PurePath(name).stem or name


def tidied(text: str) -> str:
    """Text with plain ends of lines, and without what can't be shown."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = text.encode("utf-8", "replace").decode()  # half a pair is no character
    return _BLANK.sub("\n\n", text).strip()


def _decoded(raw: bytes, name: str) -> str:
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused(
            name,
            "is not UTF-8 text",
            "convert it, as with `iconv -f WINDOWS-1252 -t UTF-8`",
        ) from error
    if len(text) > DOCUMENT_TEXT_CHARS_MAX:
        raise refused(
            name, f"has over {DOCUMENT_TEXT_CHARS_MAX:,} characters", "cut it into several files"
        )
    return text


def _first_heading(text: str, name: str) -> str:
    found = _HEADING.search(text[:_TITLE_LOOK_CHARS])
    return (found[1] or found[2]) if found else stem(name)


class _Converter(MarkdownConverter):
    """Links are their words; pictures are their descriptions."""

    def convert_a(self, el: object, text: str, parent_tags: object) -> str:  # noqa: ARG002
        return text

    def convert_img(self, el: BeautifulSoup, text: str, parent_tags: object) -> str:  # noqa: ARG002
        said = el.attrs.get("alt")
        return said if isinstance(said, str) else ""


def _converted(soup: BeautifulSoup) -> str:
    for element in soup(_UNREAD):
        element.decompose()
    converter = _Converter(heading_style="ATX", escape_asterisks=False, escape_underscores=False)
    return tidied(converter.convert_soup(soup))
