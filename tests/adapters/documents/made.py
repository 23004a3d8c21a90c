"""Small files of every kind, written byte by byte."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from littoral.adapters.documents.reading import read
from littoral.adapters.documents.words import Failed, Job, Said, Some
from littoral.memory.passages import Cutting
from littoral.terms.memory import Record

_WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def pdf_bytes(pages: Sequence[str], title: str = "", *, pages_said: int | None = None) -> bytes:
    """A PDF with one line of text a page."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages_said or count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        content = zlib.compress(shown.encode("latin-1"))
        head = f"<< /Length {len(content)} /Filter /FlateDecode >>\nstream\n".encode()
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            b"/Resources << /Font << /F1 3 0 R >> >> "
            + f"/Contents {5 + 2 * number} 0 R >>".encode()
        )
        objects.append(head + content + b"\nendstream")
    objects.append(f"<< /Title ({title}) >>".encode("latin-1"))
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n".encode()
    return bytes(out + f"startxref\n{start}\n%%EOF\n".encode())


def docx_bytes(paragraphs: Sequence[tuple[str, str]], title: str = "") -> bytes:
    """A DOCX of paragraphs, each with its style (empty is none)."""
    body = "".join(
        f"<w:p>{f'<w:pPr><w:pStyle w:val={style!r}/></w:pPr>' if style else ''}"
        f"<w:r><w:t>{text}</w:t></w:r></w:p>"
        for style, text in paragraphs
    )
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{key}"><w:name w:val="{name}"/></w:style>'
        for key, name in (("Title", "Title"), ("Heading1", "heading 1"), ("Heading2", "heading 2"))
    )
    core = (
        '<cp:coreProperties xmlns:cp="urn:core" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title></cp:coreProperties>"
    )
    members = {
        "[Content_Types].xml": f'<Types xmlns="{_TYPES}">'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship '
        f'Id="r1" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "word/styles.xml": f'<w:styles xmlns:w="{_WORDS}">{styles}</w:styles>',
        "word/document.xml": f'<w:document xmlns:w="{_WORDS}"><w:body>{body}</w:body></w:document>',
        "docProps/core.xml": core,
    }
    return zip_bytes({name: text.encode() for name, text in members.items()})


def zip_bytes(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def job_of(path: Path, *, chars: int = 800, **more: object) -> Job:
    return Job(path=str(path), name=path.name, cutting=Cutting(chars=chars), **more)  # type: ignore[arg-type]


def said_of(path: Path, **more: object) -> list[Said]:
    """All that is said of a file, read in this process."""
    said: list[Said] = []
    read(job_of(path, **more), said.append)  # type: ignore[arg-type]
    return said


def records_of(path: Path, **more: object) -> list[Record]:
    """The records of a file that can be read."""
    said = said_of(path, **more)
    assert not isinstance(said[-1], Failed), said[-1]
    return [record for one in said if isinstance(one, Some) for record in one.records]


def failure_of(path: Path, **more: object) -> Failed:
    """Why a file can't be read."""
    (*_, failed) = said_of(path, **more)
    assert isinstance(failed, Failed)
    return failed
