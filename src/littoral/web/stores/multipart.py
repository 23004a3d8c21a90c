"""Forms with files, `multipart/form-data` (RFC 7578): the parts of a body that is here whole.

Rules
- Strict: what one reader could see as one part and another as two is refused, not guessed at.
- Bytes of a file are given as they came, without a copy; nothing looks at them but for the
  delimiter.
- The number of parts, their heads and the fields that are no files are bounded.

The standard library's reader of mail is not used: it takes a body apart by lines and decodes it,
which neither keeps bytes as they are nor is quick.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from littoral.terms.errors import BadRequestError
from littoral.terms.limits import (
    MULTIPART_FIELD_BYTES_MAX,
    MULTIPART_HEAD_BYTES_MAX,
    MULTIPART_PARTS_MAX,
)

__all__ = ["FormPart", "field_of", "file_of", "parts_of"]

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FORM: Final = re.compile(r"multipart/form-data[ \t]*(;.*)?", re.IGNORECASE)
_PARAMETER: Final = re.compile(
    rf';[ \t]*({_WORD})=(?:"((?:[^"\\\r\n]|\\[^\r\n])*)"|({_WORD}))[ \t]*'
)
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_HEADER: Final = re.compile(rf"({_WORD}):[ \t]*([^\r\n]*?)[ \t]*")
_EXTENDED: Final = re.compile(r"utf-8'[^']*'([!#$&+.^_`|~0-9A-Za-z%-]*)", re.IGNORECASE)
_AS_IT_IS: Final = frozenset({"7bit", "8bit", "binary"})


class FormPart(msgspec.Struct, frozen=True):
    """One part of a form."""

    name: str
    filename: str | None
    """None is a field that is no file."""
    data: memoryview


def parts_of(content_type: str, body: bytes) -> list[FormPart]:
    """The parts of a form, in their order.

    Args:
        content_type: as the request's head says it.
        body: all of it.

    Raises:
        BadRequestError: it is no form, or malformed.
    """
    delimiter = b"--" + _boundary(content_type)
    found: list[FormPart] = []
    for head, data in _split(body, delimiter):
        if len(found) == MULTIPART_PARTS_MAX:
            raise _malformed(f"it has more than {MULTIPART_PARTS_MAX} parts")
        part = _part(head, data)
        if part.filename is None and len(data) > MULTIPART_FIELD_BYTES_MAX:
            raise _malformed(f"a field is over {MULTIPART_FIELD_BYTES_MAX} bytes")
        found.append(part)
    return found


def field_of(parts: Sequence[FormPart], name: str) -> str | None:
    """The text of a field; None where it is not there.

    Raises:
        BadRequestError: it is there twice, or no text.
    """
    found = [part for part in parts if part.name == name and part.filename is None]
    if len(found) > 1:
        raise BadRequestError(f"`{name}` is there {len(found)} times", param=name)
    try:
        return bytes(found[0].data).decode() if found else None
    except UnicodeDecodeError:
        raise BadRequestError(f"`{name}` is not valid UTF-8 text", param=name) from None


def file_of(parts: Sequence[FormPart], name: str) -> FormPart:
    """The file of this name.

    Raises:
        BadRequestError: it is not there, or there are several.
    """
    found = [part for part in parts if part.name == name and part.filename is not None]
    if len(found) != 1:
        said = f"`{name}` is there {len(found)} times" if found else f"`{name}` is missing"
        raise BadRequestError(said, advice="send one file in the form", param=name)
    return found[0]


def _boundary(content_type: str) -> bytes:
    form = _FORM.fullmatch(content_type.strip())
    if form is None:
        raise BadRequestError(
            "the body is no form", advice="send `multipart/form-data`, as OpenAI's clients do"
        )
    boundary = _parameters(form[1] or "").get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise _malformed("its content-type names no boundary")
    return boundary.encode()


def _split(body: bytes, delimiter: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The head and the bytes of each part."""
    view = memoryview(body)
    at = 2 if body.startswith(b"\r\n") else 0
    if not body.startswith(delimiter, at):
        raise _malformed("it does not begin with its boundary")
    at += len(delimiter)
    between = b"\r\n" + delimiter
    while not body.startswith(b"--", at):
        if not body.startswith(b"\r\n", at):
            raise _malformed("there is more on the line of a boundary")
        start = at + 2
        head_end = body.find(b"\r\n\r\n", start, start + MULTIPART_HEAD_BYTES_MAX + 4)
        if head_end < 0:
            raise _malformed("the head of a part does not end, or is too long")
        first = head_end + 4
        end = body.find(between, first)
        if end < 0 or body.startswith(delimiter, first):
            raise _malformed("a part does not end", advice="send the whole body")
        yield body[start:head_end], view[first:end]
        at = end + len(between)
    if body[at + 2 :].strip(b"\r\n \t"):
        raise _malformed("something follows its end")


def _part(head: bytes, data: memoryview) -> FormPart:
    fields: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        try:
            read = _HEADER.fullmatch(line.decode())
        except UnicodeDecodeError:
            raise _malformed("the head of a part is not valid UTF-8 text") from None
        if read is None or read[1].lower() in fields:
            raise _malformed("the head of a part is not well-formed")
        fields[read[1].lower()] = read[2]
    if fields.get("content-transfer-encoding", "binary").lower() not in _AS_IT_IS:
        raise _malformed("a part is encoded", advice="send its bytes as they are")
    kind, _, rest = fields.get("content-disposition", "").partition(";")
    if kind.strip().lower() != "form-data":
        raise _malformed("a part does not say that it is form-data")
    parameters = _parameters(f";{rest}" if rest else "")
    if not parameters.get("name"):
        raise _malformed("a part has no name")
    return FormPart(parameters["name"], _filename(parameters), data)


def _filename(parameters: Mapping[str, str]) -> str | None:
    extended = parameters.get("filename*")
    if extended is None:
        return parameters.get("filename")
    read = _EXTENDED.fullmatch(extended)
    try:
        if read is not None:
            return unquote_to_bytes(read[1]).decode()
    except UnicodeDecodeError:
        pass
    raise _malformed("the name of a file is not valid UTF-8 text")


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        read = _PARAMETER.match(text, at)
        if read is None or read[1].lower() in found:
            raise _malformed("a header field is not well-formed")
        name, quoted, plain = read.groups()
        # Only what had to be escaped is unescaped: browsers send `\` of paths as it is.
        value = plain if quoted is None else quoted.replace('\\"', '"').replace("%22", '"')
        found[name.lower()] = value
        at = read.end()
    return found


def _malformed(what: str, advice: str = "") -> BadRequestError:
    return BadRequestError(
        f"the form is malformed: {what}",
        advice=advice or "send `multipart/form-data`, as OpenAI's clients do",
    )
