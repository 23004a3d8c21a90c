"""Files of every kind to passages, and what is said of those that can't be read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from littoral.terms.limits import DOCUMENT_PAGES_MAX
from tests.adapters.documents.made import (
    docx_bytes,
    failure_of,
    pdf_bytes,
    records_of,
    zip_bytes,
)

Write = Callable[[str, bytes | str], Path]


@pytest.fixture
def file(tmp_path: Path) -> Write:
    def write(name: str, data: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write


def test_markdown_is_titled_by_its_front_matter_or_its_first_heading(file: Write) -> None:
    (first,) = records_of(file("a.md", "---\ntitle: 'Of keys'\nlang: en\n---\nMake one first."))
    assert (first.header, first.text) == ("Of keys", "Make one first.")
    (second,) = records_of(file("b.md", "# Keys\n\nMake one first."))
    assert (second.header, second.text) == ("", "# Keys\n\nMake one first.")


def test_text_is_titled_by_its_name_and_its_marks_mean_nothing(file: Write) -> None:
    (record,) = records_of(file("notes.txt", "\ufeff# not a heading\r\n\r\n\r\nbut a line"))
    assert (record.header, record.text) == ("notes", "# not a heading\n\nbut a line")
    (other,) = records_of(file("wide.txt", "Zürich".encode("utf-16")))
    assert other.text == "Zürich"


def test_of_html_there_stays_what_a_person_reads(file: Write) -> None:
    page = """<!doctype html><html><head><title>The  tide</title><style>p{}</style></head><body>
    <nav>home</nav><h2>Ebb</h2><p>Water <b>leaves</b>, see <a href="http://x/y">there</a>.</p>
    <script>alert(1)</script><img src="data:xyz" alt="a shore"><table><tr><th>a</th></tr></table>
    </body></html>"""
    (record,) = records_of(file("page", page))
    assert record.header == "The tide"
    assert "## Ebb" in record.text
    assert "Water **leaves**, see there." in record.text
    assert "a shore" in record.text
    assert not {"alert", "http", "home", "data:"} & set(record.text.split())


def test_html_is_read_by_the_encoding_that_it_says(file: Write) -> None:
    page = '<html><head><meta charset="iso-8859-1"></head><p>Zürich</p></html>'
    (record,) = records_of(file("page.html", page.encode("latin-1")))
    assert record.text == "Zürich"


def test_passages_of_a_pdf_say_their_page(file: Write) -> None:
    pages = ["The tide comes in twice a day.", "", "It leaves as often as it comes."]
    first, second = records_of(file("tide.pdf", pdf_bytes(pages, "On tides")), chars=50)
    assert (first.text, first.metadata, first.header) == (pages[0], {"page": 1}, "On tides")
    assert (second.text, second.metadata) == (pages[2], {"page": 3})


def test_dots_that_lead_to_a_page_are_few(file: Write) -> None:
    (record,) = records_of(file("a.pdf", pdf_bytes(["1 Of tides . . . . . . . . . . 12"])))
    assert record.text == "1 Of tides … 12"


def test_a_docx_keeps_its_headings(file: Write) -> None:
    paragraphs = [
        ("Heading1", "Ebb"),
        ("", "Water leaves."),
        ("Heading2", "Then"),
        ("", "It waits."),
    ]
    (record,) = records_of(file("tide.docx", docx_bytes(paragraphs, "On tides")))
    assert record.header == "On tides"
    assert record.text == "# Ebb\n\nWater leaves.\n\n## Then\n\nIt waits."
    (other,) = records_of(file("named.docx", docx_bytes([("Title", "Flood"), ("", "It comes.")])))
    assert other.text == "# Flood\n\nIt comes."


def test_what_a_file_is_can_be_told_without_its_name(file: Write) -> None:
    assert records_of(file("one", pdf_bytes(["A page of words."])))[0].metadata == {"page": 1}
    assert records_of(file("two", docx_bytes([("", "Words.")])))[0].text == "Words."
    assert records_of(file("Makefile", "all: words"))[0].text == "all: words"


def test_metadata_and_labels_go_with_each_passage(file: Write) -> None:
    path = file("a.pdf", pdf_bytes(["A page of words."]))
    (record,) = records_of(path, metadata={"year": 2026}, labels=("staff",))
    assert (record.metadata, record.labels) == ({"page": 1, "year": 2026}, ("staff",))


@pytest.mark.parametrize(
    ("name", "data", "why", "advice"),
    [
        ("a.md", b" \n\t\n", "is empty", "leave it out"),
        ("a.md", b"---\n***\n", "has no text", "leave it out"),
        ("a.txt", b"caf\xe9", "is not UTF-8", "iconv"),
        ("a.bin", b"\x7fELF\0\0", "neither text", "give text"),
        ("a.pdf", b"no such thing", "is called a PDF", "the name that fits"),
        ("a.pdf", b"%PDF-1.4\nnothing else", "damaged", "save it again"),
        ("a.pdf", pdf_bytes(["", ""]), "only pictures", "ocrmypdf"),
        ("a.txt", pdf_bytes(["Words."]), "other contents", "PDF"),
        ("a.docx", zip_bytes({"a.txt": b"x"}), "no DOCX", "unpack it"),
        ("a.docx", b"PK\x03\x04 and no more", "damaged", "save it again"),
        ("a.html", b"<div>" * 20_000, "nested too deeply", "simpler"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(
    file: Write, name: str, data: bytes, why: str, advice: str
) -> None:
    failed = failure_of(file(name, data))
    assert failed.message.startswith(f"{name} ")
    assert why in failed.message
    assert advice in failed.advice


def test_records_are_text_where_documents_alone_are_wanted(file: Write) -> None:
    (record,) = records_of(file("a.jsonl", '{"id": "a", "text": "b"}'), records=False)
    assert record.text == '{"id": "a", "text": "b"}'
    failed = failure_of(file("a.parquet", b"PAR1 and more"), records=False)
    assert (failed.code, "holds records" in failed.message) == ("unsupported", True)


def test_what_is_not_there_or_no_file_is_said(tmp_path: Path) -> None:
    assert "is no file" in failure_of(tmp_path / "none.md").message
    assert "is no file" in failure_of(tmp_path).message


def test_an_encrypted_pdf_is_refused_and_one_without_a_password_is_read(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    (tmp_path / "plain.pdf").write_bytes(pdf_bytes(["A page of words."]))
    for password, name in (("secret", "closed.pdf"), ("", "open.pdf")):
        writer = PdfWriter(clone_from=PdfReader(tmp_path / "plain.pdf"))
        writer.encrypt(password, "owner", algorithm="AES-256")
        writer.write(tmp_path / name)
    assert "is encrypted" in failure_of(tmp_path / "closed.pdf").message
    assert records_of(tmp_path / "open.pdf")[0].text == "A page of words."


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from littoral.adapters.documents import packed

    monkeypatch.setattr(packed, "DOCUMENT_UNPACKED_BYTES_MAX", 1_000_000)
    bomb = zip_bytes({"word/document.xml": b" " * 2_000_000})
    assert len(bomb) < 10_000
    assert "unpacks to 2,000,000 bytes" in failure_of(file("bomb.docx", bomb)).message


def test_too_many_pages_too_long_a_text_and_too_large_a_file_are_refused(
    file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from littoral.adapters.documents import packed, reading, texts

    monkeypatch.setattr(packed, "DOCUMENT_PAGES_MAX", 2)
    assert "has 3 pages" in failure_of(file("a.pdf", pdf_bytes(["a", "b", "c"]))).message
    monkeypatch.setattr(texts, "DOCUMENT_TEXT_CHARS_MAX", 10)
    assert "over 10 characters" in failure_of(file("a.txt", "eleven chars")).message
    monkeypatch.setattr(reading, "DOCUMENT_FILE_BYTES_MAX", 10)
    assert "has 12 bytes" in failure_of(file("a.txt", "eleven chars")).message
    assert DOCUMENT_PAGES_MAX > 2
