"""Forms with files are read as their senders meant them, or refused."""

import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.errors import BadRequestError
from littoral.terms.limits import MULTIPART_FIELD_BYTES_MAX, MULTIPART_PARTS_MAX
from littoral.web.stores.multipart import field_of, file_of, parts_of

TYPE = "multipart/form-data; boundary=xx"
PART = b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
END = b"--xx--\r\n"


def form(*heads: bytes) -> bytes:
    return b"".join(b"--xx\r\n" + head + b"\r\n\r\nbytes\r\n" for head in heads) + END


@given(
    st.dictionaries(st.text("abc[]_", min_size=1, max_size=8), st.text(max_size=40), max_size=4),
    st.text(st.characters(exclude_categories=["C"], exclude_characters="%\\"), min_size=1),
    st.binary(max_size=300),
)
def test_what_a_client_sends_is_what_is_read(
    fields: dict[str, str], filename: str, raw: bytes
) -> None:
    request = httpx.Request("POST", "http://x", data=fields, files={"file": (filename, raw)})
    parts = parts_of(request.headers["content-type"], request.read())
    assert {part.name: bytes(part.data).decode() for part in parts[:-1]} == fields
    file = file_of(parts, "file")
    assert (file.filename, bytes(file.data)) == (filename, raw)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_form_or_refused(raw: bytes) -> None:
    for body in (raw, PART + raw, PART + raw + END, PART[:-5] + raw + END):
        try:
            parts = parts_of(TYPE, body)
        except BadRequestError:
            continue
        assert all(len(part.data) <= len(body) for part in parts)


@given(st.text(max_size=60))
def test_any_content_type_is_a_forms_or_refused(said: str) -> None:
    for content_type in (said, f"multipart/form-data{said}", f"multipart/form-data; {said}"):
        try:
            parts_of(content_type, PART + END)
        except BadRequestError:
            continue


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--xx",
        b"--xx\r\n",
        PART,
        PART + b"--xx",
        PART[:-2] + END,
        b"before\r\n" + PART + END,
        PART + END + b"after",
        PART + b"--xx \r\n" + END,
        b'--xx\nContent-Disposition: form-data; name="a"\n\n1\n--xx--',
        form(b"Content-Disposition: form-data"),
        form(b'Content-Disposition: form-data; name=""'),
        form(b'Content-Disposition: attachment; name="a"'),
        form(b'Content-Disposition: form-data; name="a"; name="b"'),
        form(b'Content-Disposition: form-data; name="a" name2="b"'),
        form(b'Content-Disposition: form-data; name="a'),
        form(b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data'),
        form(b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64'),
        form(b'Content-Disposition: form-data; name="\xff"'),
        form(b"Content-Disposition: form-data; name=a; filename*=UTF-8''%ff"),
        form(b"Content-Disposition: form-data; name=a; filename*=latin-1''x"),
        form(b'X-A: b\r\n folded\r\nContent-Disposition: form-data; name="a"'),
        form(b"X: " + b"x" * 9_000 + b'\r\nContent-Disposition: form-data; name="a"'),
        b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n--xx--\r\n',
        b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
        + b"1" * (MULTIPART_FIELD_BYTES_MAX + 1)
        + b"\r\n"
        + END,
        PART * (MULTIPART_PARTS_MAX + 1) + END,
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        parts_of(TYPE, body)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/mixed; boundary=xx",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=xx; boundary=yy",
        f"multipart/form-data; boundary={'x' * 71}",
        'multipart/form-data; boundary="x\u00e9"',
    ],
)
def test_a_form_says_its_boundary(content_type: str) -> None:
    with pytest.raises(BadRequestError):
        parts_of(content_type, PART + END)


def test_names_are_read_as_browsers_and_others_write_them() -> None:
    heads = (
        rb'content-disposition: form-data; name="f"; filename="C:\dir\a.txt"',
        b"Content-Disposition: form-data; name=f; filename=plain.txt",
        b"Content-Disposition: form-data; name=\"f\"; filename*=UTF-8''%C3%B6.txt",
        b'Content-Disposition: form-data; name="f"; filename="a%22b\\"c"',
        b'Content-Disposition: form-data; name="f"; filename="x"; filename*=utf-8\'en\'y',
        b'Content-Disposition: form-data; name="f"; filename=""',
    )
    names = [part.filename for part in parts_of(TYPE, form(*heads))]
    assert names == [r"C:\dir\a.txt", "plain.txt", "ö.txt", 'a"b"c', "y", ""]


def test_fields_are_there_once_and_files_are_files() -> None:
    parts = parts_of(TYPE, PART + PART + END)
    with pytest.raises(BadRequestError, match="2 times"):
        field_of(parts, "a")
    with pytest.raises(BadRequestError, match="missing"):
        file_of(parts, "a")
    assert field_of(parts, "b") is None


def test_a_large_file_that_is_almost_its_boundary_is_read_at_once() -> None:
    raw = b"\r\n--x" * 5_000_000
    head = b'--xx\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    began = time.process_time()
    (part,) = parts_of(TYPE, head + raw + b"\r\n" + END)
    assert time.process_time() - began < 1.0
    assert len(part.data) == len(raw)
