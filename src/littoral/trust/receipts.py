"""The receipt: a PoP's signed statement about one answer.

Rules
- Every finished exchange gets exactly one, and each names the one before it (`seq`, `prev`), so
  that a PoP's receipts form one unbroken chain (invariant I3).
- It holds digests, counts, times and names, never a prompt or an answer (invariant I8).
- What is signed is the exact payload, in a DSSE envelope; of receipts made together, one statement
  that has the root over all their payloads, and each has its path to it. Beside the envelope goes
  the opening: the salt of the digests and the public key.
- A document is one line of JSON and there is one way to write it: what does not encode back to the
  same bytes is refused, so that no byte of it can be changed unseen.
- Numbers that other languages read as floats (times, sampling) are decimal strings.

It is the form alone: issuing makes receipts, and verification says whether one proves an answer.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import Digest, KeyId, ModelName, PopId, ReceiptId
from littoral.terms.limits import (
    NONCE_CHARS_MAX,
    PASSAGES_USED_MAX,
    REASON_CHARS_MAX,
    RECEIPT_BATCH_MAX,
    RECEIPT_BYTES_MAX,
    SIGNATURES_KNOWN_MAX,
)
from littoral.terms.ports import Verify
from littoral.terms.values import Finish, Source
from littoral.trust.decoding import ENCODER, PopName, Sha256, decode_exactly
from littoral.trust.dsse import Binary, Envelope, opened
from littoral.trust.merkle import root_of
from littoral.trust.names import digest_of, named, names_of_key

__all__ = [
    "BATCH_TYPE",
    "DIGITS_MAX",
    "PAYLOAD_TYPE",
    "SALT_BYTES",
    "FRAME_START",
    "FRAME_END",
    "RECEIPT_FIELD",
    "Receipt",
    "Parent",
    "Model",
    "Engine",
    "Sampling",
    "Passages",
    "Response",
    "ReceiptDocument",
    "Proven",
    "Batch",
    "Batched",
    "Opening",
    "check_signer",
    "decode_document",
    "decode_payload",
    "frame",
    "in_field",
    "leaf_of",
    "stated",
]

PAYLOAD_TYPE: Final = "application/vnd.littoral.receipt.v1+json"
BATCH_TYPE: Final = "application/vnd.littoral.receipts.v1+json"
"""What is signed: one receipt, or the root over several."""

SALT_BYTES: Final = 16

FRAME_START: Final = b": littoral-receipt "
FRAME_END: Final = b"\n\n"
"""A receipt as the last event of a stream is a comment, which every client must ignore."""

RECEIPT_FIELD: Final = "littoral-receipt-document"
"""The header field that has the receipt of an answer in one piece. Only PoPs are sent it.
A document is one line of ASCII, as what is signed is in base64."""

DIGITS_MAX: Final = 40

Text = Annotated[str, msgspec.Meta(max_length=512)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Nanoseconds = Annotated[str, msgspec.Meta(min_length=1, max_length=19)]
Named = Annotated[Digest, msgspec.Meta(min_length=71, max_length=71)]
"""These two are looked at further in `decode_payload`."""
Number = Annotated[
    str, msgspec.Meta(pattern=r"\A-?[0-9]{1,40}(\.[0-9]{1,40})?\Z", max_length=DIGITS_MAX)
]
ReceiptName = Annotated[ReceiptId, msgspec.Meta(pattern=r"\Arcpt_[0-9a-f]{32}\Z")]
Nonce = Annotated[str, msgspec.Meta(max_length=NONCE_CHARS_MAX)]
Blake3 = Annotated[str, msgspec.Meta(pattern=r"\Ablake3:[0-9a-f]{64}\Z")]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model is said to have answered. A digest is null when the PoP can't know it."""

    name: Annotated[ModelName, msgspec.Meta(max_length=96)]
    weights: Named | None
    tokenizer: Named | None
    template: Named | None


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What computed: exact build, device, threads (0: not ours to know)."""

    build: Text
    device: Text
    threads: Count


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How tokens were chosen. Null is the engine's own default; `rule` says whose sampler it is."""

    temperature: Number | None = None
    top_p: Number | None = None
    max_tokens: Number | None = None
    rule: Literal["engine"] = "engine"
    seed: Number | None = None


class Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The response body as it was sent, without the receipt frame."""

    digest: Named
    bytes: Count


class Parent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The receipt of another PoP, whose answer was passed on."""

    pop: PopName
    rid: ReceiptName
    digest: Sha256
    """Of its payload."""
    why: Annotated[str, msgspec.Meta(max_length=REASON_CHARS_MAX)] = ""
    """This PoP was asked, in the words of who asked it."""


class Passages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model was shown of one collection."""

    collection: Annotated[str, msgspec.Meta(max_length=128)]
    digests: Annotated[tuple[Blake3, ...], msgspec.Meta(max_length=PASSAGES_USED_MAX)]
    """Of the passages' texts."""


class Receipt(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What is signed. Each field is explained in docs/receipts.md."""

    v: Literal[1]
    network: Text
    pop: Annotated[PopId, msgspec.Meta(max_length=20)]
    owner: Text
    kid: Named
    rid: Annotated[ReceiptId, msgspec.Meta(max_length=37)]
    seq: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    prev: Named | None
    client_nonce: Nonce
    t_in: Nanoseconds
    t_first: Nanoseconds | None
    t_out: Nanoseconds
    api: Text
    key: Annotated[KeyId, msgspec.Meta(max_length=64)]
    req: Named
    model: Model
    engine: Engine
    sampling: Sampling
    response: Response
    out_text: Named | None
    n_in: Count
    n_cached: Count
    n_out: Count
    finish: Finish
    source: Source
    tier: Literal["signed"]
    policy: Named
    origin: ReceiptName | None = None
    asked: Annotated[ModelName, msgspec.Meta(max_length=96)] | None = None
    parent: Parent | None = None
    passages: tuple[Passages, ...] = ()
    pipeline: Blake3 | None = None
    """The artifact."""


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed for several receipts: the root over the digests of their payloads."""

    v: Literal[1]
    kid: Sha256
    size: Annotated[int, msgspec.Meta(ge=2, le=RECEIPT_BATCH_MAX)]
    root: Sha256


class Batched(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt that was signed with others: its payload, its place, and its path to the root."""

    payload: Binary
    index: Count
    path: Binary


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the holder of a receipt needs to check it. The salt is theirs to keep."""

    salt: Annotated[str, msgspec.Meta(pattern=rf"\A[0-9a-f]{{{2 * SALT_BYTES}}}\Z")]
    public_key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """Ed25519; said to have signed."""


class ReceiptDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A receipt as it travels: the signed envelope and its opening."""

    envelope: Envelope
    opening: Opening
    batched: Batched | None = None
    """Set when the envelope holds a `Batch`; else it holds the receipt itself."""
    parent: "ReceiptDocument | None" = None
    """The receipt that this one names as its `parent`."""

    def encode(self) -> bytes:
        """One line of JSON, the only way to write this document."""
        return ENCODER.encode(self)

    @property
    def salt(self) -> bytes:
        """The salt of every digest in the receipt."""
        return bytes.fromhex(self.opening.salt)

    def stated(self) -> bytes:
        """The receipt's payload, whether or not it was signed."""
        return self.envelope.payload if self.batched is None else self.batched.payload

    def proven(self, verify: Verify) -> "Proven":
        """What is signed by the key that is beside it.

        Raises:
            ReceiptRejectedError: nothing is, or the document is malformed.
        """
        public_key = self.opening.public_key
        if self.batched is None:
            payload = opened(self.envelope, PAYLOAD_TYPE, public_key, verify)
            return Proven(payload, digest_of(payload), 1)
        batch = _signed_together(self.envelope, public_key, verify)
        payload, index, path = self.batched.payload, self.batched.index, self.batched.path
        taken = hashlib.sha256(payload)
        root = root_of(taken.digest(), index, batch.size, path)
        if root != leaf_of(batch.root):
            raise ReceiptRejectedError("the receipt is not among those that were signed together")
        return Proven(payload, named(taken), batch.size)


# A Struct, as every answer of another PoP makes one.
class Proven(msgspec.Struct, frozen=True):
    """A receipt's payload, which is signed."""

    payload: bytes
    digest: Digest
    """Of it."""
    together: int
    """So many were signed together."""


_DOCUMENT: Final = msgspec.json.Decoder(ReceiptDocument)
_RECEIPT: Final = msgspec.json.Decoder(Receipt)
_BATCH: Final = msgspec.json.Decoder(Batch)

_TIME, _NAME = r"[0-9]{1,19}", r"sha256:[0-9a-f]{64}"
_FORM: Final = re.compile(
    rf"pop-[0-9a-f]{{16}} rcpt_[0-9a-f]{{32}} {_TIME} {_TIME} (?:{_TIME})?"
    rf"(?: {_NAME}){{4}}(?: (?:{_NAME})?){{5}}"
)
"""How the names and times are written that each receipt has: one look at all of them together, as
a look at each costs more than all else that is done to read a receipt."""


@lru_cache(SIGNATURES_KNOWN_MAX)
def _signed_together(envelope: Envelope, public_key: bytes, verify: Verify) -> Batch:
    """What is signed for several receipts, which is as good for each of them: it is looked at once.

    Raises:
        ReceiptRejectedError: this key has not signed it, or it is malformed.
    """
    batch = decode_exactly(
        _BATCH, opened(envelope, BATCH_TYPE, public_key, verify), "what is signed"
    )
    if batch.kid != names_of_key(public_key)[0]:
        raise ReceiptRejectedError("what is signed names another key than the one it came with")
    return batch


def leaf_of(digest: Digest) -> bytes:
    """What a payload of this digest is in the tree: the digest's 32 bytes."""
    return bytes.fromhex(digest.removeprefix("sha256:"))


def decode_document(data: bytes) -> ReceiptDocument:
    """Read a document from outside.

    Raises:
        ReceiptRejectedError: it is too large, malformed, or not written in the one way.
    """
    if len(data) > RECEIPT_BYTES_MAX:
        raise ReceiptRejectedError(f"the receipt is larger than {RECEIPT_BYTES_MAX} bytes")
    return decode_exactly(_DOCUMENT, data, "the receipt")


def decode_payload(payload: bytes) -> Receipt:
    """Read the statement that an envelope holds.

    Raises:
        ReceiptRejectedError: it is malformed or of another version.
    """
    receipt = decode_exactly(_RECEIPT, payload, "what is signed")
    if not _FORM.fullmatch(" ".join(_names_and_times(receipt))):
        raise ReceiptRejectedError("what is signed is damaged, or of another version")
    return receipt


def _names_and_times(receipt: Receipt) -> Iterable[str]:
    """In the order of `_FORM`, with nothing for what is null."""
    model = receipt.model
    return (
        receipt.pop,
        receipt.rid,
        receipt.t_in,
        receipt.t_out,
        receipt.t_first or "",
        receipt.kid,
        receipt.req,
        receipt.response.digest,
        receipt.policy,
        receipt.prev or "",
        receipt.out_text or "",
        model.weights or "",
        model.tokenizer or "",
        model.template or "",
    )


def check_signer(receipt: Receipt, public_key: bytes) -> None:
    """See that a receipt names the key that has signed it, and the PoP that holds that key.

    Raises:
        ReceiptRejectedError: it names another.
    """
    if (receipt.kid, receipt.pop) != names_of_key(public_key):
        raise ReceiptRejectedError("the receipt names another signer than the key that signed it")


def stated(data: bytes) -> Receipt:
    """What a document says, for showing receipts of one's own. Whether it is true is not looked at.

    Raises:
        ReceiptRejectedError: it is malformed.
    """
    return decode_payload(decode_document(data).stated())


def frame(document: bytes) -> bytes:
    """The document as the last event of a stream of server-sent events."""
    return FRAME_START + document + FRAME_END


def in_field(document: bytes) -> str:
    """The document as the value of a header field."""
    return document.decode("ascii")
