"""The forms in which people save answers: bytes in, parts out. docs/receipts.md shows each.

(a) The body of a stream, as it came: events, then the receipt frame.
(b) A bundle, as `littoral run --save` and `littoral receipts save` write it.
(c) A plain JSON body; its receipt is in a file of its own, or known by its id.
(d) What `curl -i` prints: one or more heads, then (a) or (c). curl has undone the chunked coding by
    then, so the head's framing fields say nothing about the bytes below it and are not looked at.

It decides nothing about truth: a receipt that it hands on may be false or malformed.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import msgspec

from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import ReceiptId
from littoral.trust.decoding import ENCODER, bytes_of_base64, decode_exactly
from littoral.trust.receipts import FRAME_END, FRAME_START, ReceiptDocument

__all__ = ["SavedAnswer", "encode_bundle", "read_saved"]


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """The parts of a saved answer."""

    response: bytes
    """The body, exactly as the PoP sent it, without the receipt frame."""
    document: bytes | None = None
    """The receipt document, when the file has it."""
    request: bytes | None = None
    """The exact body of the request, when the file has it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The `littoral-…` response headers, names in lower case, when the file has a head."""

    @property
    def receipt_id(self) -> ReceiptId | None:
        """The receipt that the head names."""
        name = self.headers.get("littoral-receipt")
        return ReceiptId(name) if name else None


class _Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    littoral_answer: Literal[1]
    request: str | None
    response: str
    receipt: ReceiptDocument


_BUNDLE_START: Final = b'{"littoral_answer":'
_BUNDLE: Final = msgspec.json.Decoder(_Bundle)


def encode_bundle(*, response: bytes, receipt: ReceiptDocument, request: bytes | None) -> bytes:
    """An answer in one file: one line of JSON with the exact bytes in base64."""
    bundle = _Bundle(
        littoral_answer=1,
        request=None if request is None else base64.b64encode(request).decode(),
        response=base64.b64encode(response).decode(),
        receipt=receipt,
    )
    return ENCODER.encode(bundle) + b"\n"


def read_saved(data: bytes) -> SavedAnswer:
    """Tell the form by its first bytes and take it apart.

    Raises:
        ReceiptRejectedError: the file is a damaged form of a saved answer.
    """
    if data.startswith(_BUNDLE_START):
        return _read_bundle(data)
    if data.startswith(b"HTTP/"):
        headers, body = _split_head(data)
        return replace(_read_body(body), headers=headers)
    return _read_body(data)


def _read_bundle(data: bytes) -> SavedAnswer:
    if not data.endswith(b"}\n"):
        raise ReceiptRejectedError("the saved answer is cut off, or something follows it")
    bundle = decode_exactly(_BUNDLE, data[:-1], "the saved answer")
    return SavedAnswer(
        response=bytes_of_base64(bundle.response),
        document=bundle.receipt.encode(),
        request=None if bundle.request is None else bytes_of_base64(bundle.request),
    )


def _read_body(body: bytes) -> SavedAnswer:
    """Part a body from the receipt frame at its end, if there is one."""
    start = 0 if body.startswith(FRAME_START) else body.rfind(b"\n" + FRAME_START) + 1
    if not body.startswith(FRAME_START, start):
        return SavedAnswer(response=body)
    if not body.endswith(FRAME_END):
        raise ReceiptRejectedError(
            "the stream is cut off within its receipt, or something follows it",
            advice="save the stream's bytes exactly as they come",
        )
    document = body[start + len(FRAME_START) : -len(FRAME_END)]
    return SavedAnswer(response=body[:start], document=document)


def _split_head(data: bytes) -> tuple[Mapping[str, str], bytes]:
    """Our headers of the last head (a proxy or `100 Continue` may come before it), and the body."""
    head = b""
    body = data
    while body.startswith(b"HTTP/"):
        ends = [
            (at, at + len(blank))
            for blank in (b"\r\n\r\n", b"\n\n")
            if (at := body.find(blank)) >= 0
        ]
        if not ends:
            raise ReceiptRejectedError("the saved head has no end")
        head_end, body_start = min(ends)
        head, body = body[:head_end], body[body_start:]
    return dict(_littoral_fields(head)), body


def _littoral_fields(head: bytes) -> list[tuple[str, str]]:
    """The fields of a head that are ours."""
    fields = []
    for line in head.decode("latin-1").splitlines()[1:]:
        name, _, value = line.partition(":")
        if name.lower().startswith("littoral-"):
            fields.append((name.lower(), value.strip()))
    return fields
