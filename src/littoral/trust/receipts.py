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

It makes and reads receipts; whether one proves an answer is verification's to say.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import Digest, KeyId, ModelName, PopId, ReceiptId, digest_of_hex
from littoral.terms.limits import NONCE_CHARS_MAX, RECEIPT_BATCH_MAX, RECEIPT_BYTES_MAX
from littoral.terms.ports import Signer, Verify
from littoral.terms.values import (
    Caller,
    EngineInfo,
    Finish,
    KeyLimits,
    ModelEntry,
    Source,
    Usage,
)
from littoral.trust.decoding import ENCODER, Sha256, bytes_of_base64, decode_exactly
from littoral.trust.digests import Digests
from littoral.trust.dsse import Base64, Envelope, opened, sealed
from littoral.trust.merkle import paths, root_of
from littoral.trust.names import digest_of, pop_id

__all__ = [
    "BATCH_TYPE",
    "PAYLOAD_TYPE",
    "SALT_BYTES",
    "FRAME_START",
    "FRAME_END",
    "Receipt",
    "Model",
    "Engine",
    "Sampling",
    "Response",
    "ReceiptDocument",
    "Batched",
    "Opening",
    "Draft",
    "SealedReceipt",
    "Issuer",
    "decode_document",
    "decode_payload",
    "frame",
    "policy_digest",
    "sampling_of",
    "seal",
    "stated",
]

PAYLOAD_TYPE: Final = "application/vnd.littoral.receipt.v1+json"
BATCH_TYPE: Final = "application/vnd.littoral.receipts.v1+json"
"""What is signed: one receipt, or the root over several."""

SALT_BYTES: Final = 16

FRAME_START: Final = b": littoral-receipt "
FRAME_END: Final = b"\n\n"
"""A receipt as the last event of a stream is a comment, which every client must ignore."""

_NUMBER_MAX: Final = 2**64
_DIGITS_MAX: Final = 40

Text = Annotated[str, msgspec.Meta(max_length=512)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Nanoseconds = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,19}\Z")]
Number = Annotated[
    str, msgspec.Meta(pattern=r"\A-?[0-9]{1,40}(\.[0-9]{1,40})?\Z", max_length=_DIGITS_MAX)
]
ReceiptName = Annotated[ReceiptId, msgspec.Meta(pattern=r"\Arcpt_[0-9a-f]{32}\Z")]
PopName = Annotated[PopId, msgspec.Meta(pattern=r"\Apop-[0-9a-f]{16}\Z")]
Nonce = Annotated[str, msgspec.Meta(max_length=NONCE_CHARS_MAX)]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model is said to have answered. A digest is null when the PoP can't know it."""

    name: Annotated[ModelName, msgspec.Meta(max_length=96)]
    weights: Sha256 | None
    tokenizer: Sha256 | None
    template: Sha256 | None


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

    digest: Sha256
    bytes: Count


class Receipt(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What is signed. Each field is explained in docs/receipts.md."""

    v: Literal[1]
    network: Text
    pop: PopName
    owner: Text
    kid: Sha256
    rid: ReceiptName
    seq: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    prev: Sha256 | None
    client_nonce: Nonce
    t_in: Nanoseconds
    t_first: Nanoseconds | None
    t_out: Nanoseconds
    api: Text
    key: Annotated[KeyId, msgspec.Meta(max_length=64)]
    req: Sha256
    model: Model
    engine: Engine
    sampling: Sampling
    response: Response
    out_text: Sha256 | None
    n_in: Count
    n_cached: Count
    n_out: Count
    finish: Finish
    source: Source
    tier: Literal["signed"]
    policy: Sha256
    origin: ReceiptName | None = None
    asked: Annotated[ModelName, msgspec.Meta(max_length=96)] | None = None


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed for several receipts: the root over the digests of their payloads."""

    v: Literal[1]
    kid: Sha256
    size: Annotated[int, msgspec.Meta(ge=2, le=RECEIPT_BATCH_MAX)]
    root: Sha256


class Batched(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt that was signed with others: its payload, its place, and its path to the root."""

    payload: Base64
    index: Count
    path: Base64


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the holder of a receipt needs to check it. The salt is theirs to keep."""

    salt: Annotated[str, msgspec.Meta(pattern=rf"\A[0-9a-f]{{{2 * SALT_BYTES}}}\Z")]
    public_key: Annotated[str, msgspec.Meta(max_length=64)]


class ReceiptDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A receipt as it travels: the signed envelope and its opening."""

    envelope: Envelope
    opening: Opening
    batched: Batched | None = None
    """Set when the envelope holds a `Batch`; else it holds the receipt itself."""

    def encode(self) -> bytes:
        """One line of JSON, the only way to write this document."""
        return ENCODER.encode(self)

    @property
    def salt(self) -> bytes:
        """The salt of every digest in the receipt."""
        return bytes.fromhex(self.opening.salt)

    def public_key(self) -> bytes:
        """The key that is said to have signed.

        Raises:
            ReceiptRejectedError: it is not 32 bytes in plain base64.
        """
        key = bytes_of_base64(self.opening.public_key)
        if len(key) != 32:
            raise ReceiptRejectedError("the public key is not an Ed25519 key")
        return key

    def stated(self) -> bytes:
        """The receipt's payload, whether or not it was signed.

        Raises:
            ReceiptRejectedError: it is not plain base64.
        """
        batched = self.batched
        return bytes_of_base64(self.envelope.payload if batched is None else batched.payload)

    def proven(self, public_key: bytes, verify: Verify) -> tuple[bytes, int]:
        """The receipt's payload, if this key signed it, and how many were signed together.

        Raises:
            ReceiptRejectedError: it did not, or the document is malformed.
        """
        if self.batched is None:
            return opened(self.envelope, PAYLOAD_TYPE, public_key, verify), 1
        signed = opened(self.envelope, BATCH_TYPE, public_key, verify)
        batch = decode_exactly(_BATCH, signed, "what is signed")
        payload, path = self.stated(), bytes_of_base64(self.batched.path)
        root = root_of(_leaf(digest_of(payload)), self.batched.index, batch.size, path)
        if root is None or digest_of_hex(root.hex()) != batch.root:
            raise ReceiptRejectedError("the receipt is not among those that were signed together")
        if batch.kid != digest_of(public_key):
            raise ReceiptRejectedError("what is signed names another key than the one it came with")
        return payload, batch.size


_DOCUMENT: Final = msgspec.json.Decoder(ReceiptDocument)
_RECEIPT: Final = msgspec.json.Decoder(Receipt)
_BATCH: Final = msgspec.json.Decoder(Batch)


# A Struct, as every answer makes one.
class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """All that an exchange knows about itself when it ends; times are Unix nanoseconds."""

    receipt_id: ReceiptId
    api: str
    caller: Caller
    nonce: str
    salt: bytes
    arrived_unix_ns: int
    first_byte_unix_ns: int | None
    ended_unix_ns: int
    model: ModelEntry
    engine: EngineInfo
    sampling: Sampling
    digests: Digests
    usage: Usage
    finish: Finish
    source: Source
    origin: ReceiptId | None = None
    """The receipt of the answer that is given again."""
    asked: ModelName | None = None
    """The model that was asked for, where another has answered."""


@dataclass(frozen=True, slots=True)
class SealedReceipt:
    """A signed receipt, ready to be kept and sent."""

    receipt: Receipt
    digest: Digest
    """Of the exact payload: what the next receipt's `prev` says."""
    document: bytes
    """One line of JSON, with envelope and opening."""


class Issuer:
    """Makes the receipts of one PoP: binds its key to what exchanges report."""

    __slots__ = ("_kid", "_models", "_policies", "_pop", "_signer")

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._kid = digest_of(signer.public_key)
        self._pop = pop_id(signer.public_key)
        self._policies: dict[KeyId, tuple[Caller, Digest]] = {}
        self._models: dict[ModelName, tuple[ModelEntry, Model]] = {}

    def issue(
        self, drafts: Sequence[Draft], seq: int, prev: Digest | None
    ) -> Sequence[SealedReceipt]:
        """The receipts of exchanges that ended together, at this place of the chain on.

        Args:
            drafts: 1 to RECEIPT_BATCH_MAX, in the order of the chain.
            seq: the first one's number.
            prev: the digest of the receipt before the first.
        """
        receipts: list[Receipt] = []
        payloads: list[bytes] = []
        digests: list[Digest] = []
        for place, draft in enumerate(drafts):
            receipt = self._receipt(draft, seq + place, prev)
            payload = ENCODER.encode(receipt)
            prev = digest_of(payload)
            receipts.append(receipt)
            payloads.append(payload)
            digests.append(prev)
        salts = [draft.salt for draft in drafts]
        if len(drafts) == 1:
            return [seal(receipts[0], salts[0], self._signer)]
        documents = self._signed_together(payloads, digests, salts)
        return list(map(SealedReceipt, receipts, digests, documents))

    def _signed_together(
        self, payloads: Sequence[bytes], digests: Sequence[Digest], salts: Sequence[bytes]
    ) -> list[bytes]:
        root, found = paths([_leaf(digest) for digest in digests])
        batch = Batch(1, self._kid, len(payloads), digest_of_hex(root.hex()))
        envelope = sealed(BATCH_TYPE, ENCODER.encode(batch), self._signer)
        public_key = base64.b64encode(self._signer.public_key).decode()
        documents = []
        for index, (payload, path, salt) in enumerate(zip(payloads, found, salts, strict=True)):
            batched = Batched(
                base64.b64encode(payload).decode(), index, base64.b64encode(path).decode()
            )
            document = ReceiptDocument(envelope, Opening(salt.hex(), public_key), batched)
            documents.append(document.encode())
        return documents

    def _receipt(self, draft: Draft, seq: int, prev: Digest | None) -> Receipt:
        engine, first, usage = draft.engine, draft.first_byte_unix_ns, draft.usage
        return Receipt(
            v=1,
            network="",
            pop=self._pop,
            owner="",
            kid=self._kid,
            rid=draft.receipt_id,
            seq=seq,
            prev=prev,
            client_nonce=draft.nonce,
            t_in=str(draft.arrived_unix_ns),
            t_first=None if first is None else str(first),
            t_out=str(draft.ended_unix_ns),
            api=draft.api,
            key=draft.caller.key_id,
            req=draft.digests.request,
            model=self._model(draft.model),
            engine=Engine(engine.build, engine.device, engine.threads),
            sampling=draft.sampling,
            response=Response(draft.digests.response, draft.digests.response_bytes),
            out_text=draft.digests.text,
            n_in=usage.prompt_tokens,
            n_cached=usage.cached_tokens,
            n_out=usage.completion_tokens,
            finish=draft.finish,
            source=draft.source,
            tier="signed",
            policy=self._policy(draft.caller),
            origin=draft.origin,
            asked=draft.asked,
        )

    def _model(self, entry: ModelEntry) -> Model:
        known = self._models.get(entry.name)
        if known is None or known[0] is not entry:
            model = Model(entry.name, entry.digest, entry.tokenizer_digest, entry.template_digest)
            known = self._models[entry.name] = entry, model
        return known[1]

    def _policy(self, caller: Caller) -> Digest:
        known = self._policies.get(caller.key_id)
        if known is None or known[0] is not caller:
            known = self._policies[caller.key_id] = caller, policy_digest(caller)
        return known[1]


def seal(receipt: Receipt, salt: bytes, signer: Signer) -> SealedReceipt:
    """The receipt, signed alone, with what is needed to check it."""
    payload = ENCODER.encode(receipt)
    opening = Opening(salt.hex(), base64.b64encode(signer.public_key).decode())
    document = ReceiptDocument(sealed(PAYLOAD_TYPE, payload, signer), opening)
    return SealedReceipt(receipt, digest_of(payload), document.encode())


def _leaf(digest: Digest) -> bytes:
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
    return decode_exactly(_RECEIPT, payload, "what is signed")


def stated(data: bytes) -> Receipt:
    """What a document says, for showing receipts of one's own. Whether it is true is not looked at.

    Raises:
        ReceiptRejectedError: it is malformed.
    """
    return decode_payload(decode_document(data).stated())


def frame(document: bytes) -> bytes:
    """The document as the last event of a stream of server-sent events."""
    return FRAME_START + document + FRAME_END


def sampling_of(body: Mapping[str, object]) -> Sampling:
    """How an OpenAI-shaped request body, with the model's defaults filled in, asks for tokens."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return Sampling(
        temperature=_decimal(body.get("temperature")),
        top_p=_decimal(body.get("top_p")),
        max_tokens=_decimal(limit),
        seed=_decimal(body.get("seed")),
    )


def _decimal(value: object) -> str | None:
    """A number in plain decimal digits; None for what is no number that an engine would take."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _digits(value)


@lru_cache(maxsize=1024, typed=True)
def _digits(value: float) -> str | None:
    if not abs(value) < _NUMBER_MAX:
        return None
    digits = format(Decimal(repr(value)), "f")
    return digits if len(digits) <= _DIGITS_MAX else None


class _Policy(msgspec.Struct, frozen=True):
    models: tuple[ModelName, ...] | None
    limits: KeyLimits


def policy_digest(caller: Caller) -> Digest:
    """The name of what this caller's key allows: its models and its limits."""
    return digest_of(ENCODER.encode(_Policy(caller.models, caller.limits)))
