"""Makes receipts: from what exchanges know of themselves to signed documents.

Receipts of exchanges that ended together are signed together: their digests are the leaves of one
tree, and what is signed is its root. One alone is signed itself.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from littoral.terms.ids import Digest, KeyId, ModelName, ReceiptId, digest_of_hex
from littoral.terms.ports import Signer
from littoral.terms.sources import Sources
from littoral.terms.values import (
    Caller,
    Countersigned,
    EngineInfo,
    Finish,
    KeyLimits,
    ModelEntry,
    Source,
    Usage,
)
from littoral.trust.countersigning import parent_of
from littoral.trust.decoding import ENCODER
from littoral.trust.digests import Digests
from littoral.trust.dsse import Envelope, sealed
from littoral.trust.merkle import HASH_BYTES, Tree
from littoral.trust.names import digest_of, names_of_key
from littoral.trust.receipts import (
    BATCH_TYPE,
    DIGITS_MAX,
    PAYLOAD_TYPE,
    Batch,
    Batched,
    Engine,
    Model,
    Opening,
    Passages,
    Receipt,
    ReceiptDocument,
    Response,
    Sampling,
    decode_document,
    leaf_of,
)

__all__ = [
    "Draft",
    "Issuer",
    "SealedBatch",
    "SealedReceipt",
    "policy_digest",
    "sampling",
    "sampling_of",
    "seal",
]

_NUMBER_MAX: Final = 2**64


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
    parent: Countersigned | None = None
    """The receipt of the PoP that has answered, where that is another."""
    sources: Sources | None = None
    """What memory gave for the answer."""


class SealedBatch:
    """What is signed of receipts that were made together: enough to write each one's document."""

    __slots__ = ("_tree", "digests", "envelope", "public_key")

    def __init__(
        self, envelope: Envelope, digests: bytes, public_key: bytes, tree: Tree | None = None
    ) -> None:
        """Take what was signed.

        Args:
            envelope: over the batch, or over the receipt when it is one alone.
            digests: of the payloads in their order, 32 bytes each, joined.
            public_key: of the signer.
            tree: over the digests, if it is at hand.
        """
        self.envelope = envelope
        self.digests = digests
        self.public_key = public_key
        self._tree = tree

    @property
    def size(self) -> int:
        """How many receipts there are."""
        return len(self.digests) // HASH_BYTES

    def document(
        self, index: int, payload: bytes, salt: bytes, parent: bytes | None = None
    ) -> bytes:
        """The document of one of them: one line of JSON, with envelope and opening.

        Args:
            index: its place in the batch.
            payload: what it says.
            salt: of its digests.
            parent: the document of the receipt that it countersigns.
        """
        opening = Opening(salt.hex(), self.public_key)
        beside = None if parent is None else decode_document(parent)
        if self.size == 1:
            return ReceiptDocument(self.envelope, opening, parent=beside).encode()
        if self._tree is None:
            self._tree = _tree_over(self.digests)
        batched = Batched(payload, index, self._tree.path(index))
        return ReceiptDocument(self.envelope, opening, batched, beside).encode()


# A Struct, as every answer makes one.
class SealedReceipt(msgspec.Struct, frozen=True):
    """A signed receipt, ready to be kept and sent."""

    receipt: Receipt
    digest: Digest
    """Of the exact payload: what the next receipt's `prev` says."""
    payload: bytes
    salt: bytes
    batch: SealedBatch
    index: int
    """Its place in the batch."""
    parent: Countersigned | None = None
    """What it countersigns."""

    @property
    def document(self) -> bytes:
        """One line of JSON, with envelope and opening."""
        beside = None if self.parent is None else self.parent.document
        return self.batch.document(self.index, self.payload, self.salt, beside)


class Issuer:
    """Makes the receipts of one PoP: binds its key to what exchanges report."""

    __slots__ = ("_kid", "_models", "_policies", "_pop", "_signer")

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._kid, self._pop = names_of_key(signer.public_key)
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
        made: list[tuple[Receipt, Digest, bytes]] = []
        for place, draft in enumerate(drafts):
            receipt = self._receipt(draft, seq + place, prev)
            payload = ENCODER.encode(receipt)
            prev = digest_of(payload)
            made.append((receipt, prev, payload))
        batch = _signed([(digest, payload) for _, digest, payload in made], self._signer)
        return [
            SealedReceipt(receipt, digest, payload, draft.salt, batch, index, draft.parent)
            for index, ((receipt, digest, payload), draft) in enumerate(
                zip(made, drafts, strict=True)
            )
        ]

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
            parent=parent_of(draft.parent),
            passages=_passages(draft.sources),
            pipeline=None if draft.sources is None else draft.sources.artifact,
        )

    def _model(self, entry: ModelEntry) -> Model:
        known = self._models.get(entry.name)
        if known is None or known[0] is not entry:
            model = Model(entry.name, entry.digest, entry.tokenizer_digest, entry.template_digest)
            known = self._models[entry.name] = entry, model
        return known[1]

    def _policy(self, caller: Caller) -> Digest:
        known = self._policies.get(caller.key_id)
        before = None if known is None else known[0]
        if (
            before is None
            or before.models is not caller.models
            or before.limits is not caller.limits
        ):
            known = self._policies[caller.key_id] = caller, policy_digest(caller)
        assert known is not None, "it is known now"
        return known[1]


def seal(receipt: Receipt, salt: bytes, signer: Signer) -> SealedReceipt:
    """The receipt, signed alone, with what is needed to check it."""
    payload = ENCODER.encode(receipt)
    digest = digest_of(payload)
    return SealedReceipt(receipt, digest, payload, salt, _signed([(digest, payload)], signer), 0)


def _signed(made: Sequence[tuple[Digest, bytes]], signer: Signer) -> SealedBatch:
    """What is signed for these digests and payloads."""
    digests = b"".join([leaf_of(digest) for digest, _ in made])
    if len(made) == 1:
        return SealedBatch(sealed(PAYLOAD_TYPE, made[0][1], signer), digests, signer.public_key)
    tree = _tree_over(digests)
    batch = Batch(1, names_of_key(signer.public_key)[0], len(made), digest_of_hex(tree.root.hex()))
    envelope = sealed(BATCH_TYPE, ENCODER.encode(batch), signer)
    return SealedBatch(envelope, digests, signer.public_key, tree)


def _tree_over(digests: bytes) -> Tree:
    starts = range(0, len(digests), HASH_BYTES)
    return Tree([digests[start : start + HASH_BYTES] for start in starts])


def sampling_of(body: Mapping[str, object]) -> Sampling:
    """How an OpenAI-shaped request body, with the model's defaults filled in, asks for tokens."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return _sampled(body.get("temperature"), body.get("top_p"), limit, body.get("seed"))


@lru_cache(maxsize=1024, typed=True)
def sampling(
    temperature: float | None, top_p: float | None, max_tokens: int | None, seed: int | None
) -> Sampling:
    """The same, of what was read already; remembered, as clients ask alike."""
    return _sampled(temperature, top_p, max_tokens, seed)


def _sampled(temperature: object, top_p: object, max_tokens: object, seed: object) -> Sampling:
    return Sampling(
        temperature=_decimal(temperature),
        top_p=_decimal(top_p),
        max_tokens=_decimal(max_tokens),
        seed=_decimal(seed),
    )


def _decimal(value: object) -> str | None:
    """A number in plain decimal digits; None for what is no number that an engine would take."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not abs(value) < _NUMBER_MAX:
        return None
    digits = format(Decimal(repr(value)), "f")
    return digits if len(digits) <= DIGITS_MAX else None


def _passages(sources: Sources | None) -> tuple[Passages, ...]:
    """The passages by their collections, each once, in the order in which the model saw them."""
    named: dict[str, dict[str, None]] = {}
    for each in () if sources is None else sources.passages:
        named.setdefault(each.collection, {})[each.digest] = None
    return tuple(Passages(collection, tuple(digests)) for collection, digests in named.items())


class _Policy(msgspec.Struct, frozen=True):
    models: tuple[ModelName, ...] | None
    limits: KeyLimits


def policy_digest(caller: Caller) -> Digest:
    """The name of what this caller's key allows: its models and its limits."""
    return digest_of(ENCODER.encode(_Policy(caller.models, caller.limits)))
