"""Checks an answer against its receipt, offline, and says line by line what that proves.

`verify_answer` takes these steps in this order. The first three decide whether there is a statement
at all: when one of them fails, nothing else in the receipt counts and nothing else is looked at.

1. Document: within bounds, written in the one way.
2. Signature: holds over the exact payload, or over a batch that it is in, under the public key
   that came with it.
3. Signer: payload, envelope and public key name one key and one PoP. Proven when it is trusted.
4. Request: SHA-256(salt | request) is what was signed. Proven when the request is at hand.
5. Response: length and SHA-256(salt | response) are what was signed.
6. Text: what a person reads in the response is what was signed.
7. Headers: what the response's head says of receipt, PoP, salt and source agrees.
8. Chain: the receipt before it, when at hand, is the one that it names.
9. Neighbour: the receipt that it countersigns, of the PoP that has answered, is what lies beside
   it. Proven when that PoP's key is trusted, too.
10. Statements: model, engine, sampling, usage, times, source, policy, and of an answer from
    memory its passages and pipeline: the signer's word.
11. Absent: what nobody has checked (whether that model computed it; a public log).

An answer is accepted when nothing is rejected and the signer is trusted. A receipt that is
internally right but signed by a stranger proves only that somebody signed it.
"""

import enum
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from littoral.terms.errors import ReceiptRejectedError
from littoral.terms.ids import Digest
from littoral.terms.ports import Verify
from littoral.terms.values import SECOND, Source
from littoral.trust.countersigning import proven_parent
from littoral.trust.digests import AnswerDigests, salted
from littoral.trust.receipts import (
    Proven,
    Receipt,
    ReceiptDocument,
    check_signer,
    decode_document,
    decode_payload,
)
from littoral.trust.saved import SavedAnswer

__all__ = ["Claim", "Standing", "Verdict", "verify_answer"]


class Standing(enum.Enum):
    """How firmly a claim stands."""

    PROVEN = "proven"
    """Recomputed here, or signed by a trusted key."""
    CLAIMED = "claimed"
    """The signer says so; nothing here can tell."""
    ABSENT = "absent"
    """The receipt or the saved answer does not have it."""
    REJECTED = "REJECTED"
    """Contradicted: the answer, or its receipt, is not what was signed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of a verdict."""

    name: str
    standing: Standing
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that can be said of an answer and its receipt."""

    claims: tuple[Claim, ...]
    receipt: Receipt | None
    """Set when the signature holds."""

    @property
    def intact(self) -> bool:
        """Nothing contradicts the receipt, whoever signed it."""
        return all(claim.standing is not Standing.REJECTED for claim in self.claims)

    @property
    def accepted(self) -> bool:
        """Intact, and signed by a trusted key."""
        signer = [claim for claim in self.claims if claim.name == "signer"]
        return self.intact and any(claim.standing is Standing.PROVEN for claim in signer)


def verify_answer(
    answer: SavedAnswer,
    *,
    verify: Verify,
    trusted: Collection[bytes],
    previous: Digest | None = None,
) -> Verdict:
    """Check an answer against its receipt.

    Args:
        answer: its parts. Without a document, the verdict is that there is no receipt.
        verify: checks one Ed25519 signature.
        trusted: public keys, 32 bytes each, whose word counts.
        previous: the payload digest of the receipt before this one in the PoP's chain, if known.
    """
    if answer.document is None:
        missing = "no receipt with it; it may be in a file of its own"
        return Verdict((Claim("document", Standing.REJECTED, missing),), None)
    step = "document"
    try:
        document = decode_document(answer.document)  # 1
        step = "signature"
        proven = document.proven(verify)  # 2
        receipt = decode_payload(proven.payload)
        step = "signer"
        public_key = document.opening.public_key
        check_signer(receipt, public_key)  # 3
    except ReceiptRejectedError as error:
        return Verdict((Claim(step, Standing.REJECTED, error.message),), None)
    claims = (
        _signature(proven),
        _signer(receipt, public_key, trusted),
        _request(receipt, document.salt, answer.request),  # 4
        *_response_and_text(receipt, document.salt, answer.response),  # 5, 6
        _headers(receipt, document, answer),  # 7
        _chain(receipt, previous),  # 8
        *_neighbour(receipt, document, trusted, verify),  # 9
        *_statements(receipt),  # 10
        *_memory(receipt),
        *_absences(receipt),  # 11
    )
    return Verdict(claims, receipt)


def _signature(proven: Proven) -> Claim:
    size = len(proven.payload)
    text = f"Ed25519 over the {size} bytes signed"
    if proven.together > 1:
        text = f"Ed25519 over {proven.together} receipts, among them these {size} bytes"
    return Claim("signature", Standing.PROVEN, text)


def _signer(receipt: Receipt, public_key: bytes, trusted: Collection[bytes]) -> Claim:
    if public_key in trusted:
        return Claim("signer", Standing.PROVEN, f"{receipt.pop}, whose key is trusted")
    return Claim("signer", Standing.CLAIMED, f"{receipt.pop}, whose key is not among those trusted")


def _request(receipt: Receipt, salt: bytes, request: bytes | None) -> Claim:
    if request is None:
        text = "the request is not at hand; a digest of it is signed"
        return Claim("request", Standing.ABSENT, text)
    if salted(salt, request) != receipt.req:
        return Claim("request", Standing.REJECTED, "not the request that was signed for")
    return Claim("request", Standing.PROVEN, f"exactly these {len(request)} bytes were asked")


def _response_and_text(receipt: Receipt, salt: bytes, response: bytes) -> tuple[Claim, Claim]:
    reader = AnswerDigests(salt=salt, api=receipt.api, request=b"")
    reader.sent(response)
    found = reader.finish()
    if (found.response, found.response_bytes) != (receipt.response.digest, receipt.response.bytes):
        text = f"not the response that was signed ({receipt.response.bytes} bytes were)"
        return (
            Claim("response", Standing.REJECTED, text),
            Claim("text", Standing.REJECTED, "can't be right where the response is not"),
        )
    text = f"exactly these {len(response)} bytes were answered"
    return Claim("response", Standing.PROVEN, text), _text(receipt, found.text)


def _text(receipt: Receipt, found: Digest | None) -> Claim:
    if receipt.out_text is None:
        return Claim("text", Standing.ABSENT, "no digest of a text is signed")
    if found is None:
        return Claim("text", Standing.CLAIMED, "this response's text can't be read off here")
    if found != receipt.out_text:
        return Claim("text", Standing.REJECTED, "not the text that was signed")
    return Claim("text", Standing.PROVEN, "what the answer says is what was signed")


def _headers(receipt: Receipt, document: ReceiptDocument, answer: SavedAnswer) -> Claim:
    signed = {
        "littoral-receipt": receipt.rid,
        "littoral-pop": receipt.pop,
        "littoral-salt": document.opening.salt,
        "littoral-source": receipt.source.value,
    }
    wrong = [name for name, value in signed.items() if answer.headers.get(name, value) != value]
    if wrong:
        return Claim("headers", Standing.REJECTED, f"{', '.join(wrong)}: not what was signed")
    seen = [name for name in signed if name in answer.headers]
    if not seen:
        return Claim("headers", Standing.ABSENT, "saved without a head")
    return Claim("headers", Standing.PROVEN, f"{', '.join(seen)} agree with what was signed")


def _chain(receipt: Receipt, previous: Digest | None) -> Claim:
    place = f"number {receipt.seq} of this PoP"
    if receipt.prev is None:
        if receipt.seq == 1:
            return Claim("chain", Standing.CLAIMED, "the first receipt of this PoP")
        return Claim("chain", Standing.REJECTED, f"{place} names no receipt before it")
    if previous is None:
        return Claim("chain", Standing.CLAIMED, f"{place}, after {_short(receipt.prev)}")
    if previous != receipt.prev:
        return Claim("chain", Standing.REJECTED, f"{place} does not follow the one before it")
    return Claim("chain", Standing.PROVEN, f"{place}, and follows the one before it")


def _neighbour(
    receipt: Receipt, document: ReceiptDocument, trusted: Collection[bytes], verify: Verify
) -> tuple[Claim, ...]:
    """What there is of another PoP's answer; nothing where nobody speaks of one."""
    parent = receipt.parent
    if parent is None:
        if document.parent is not None:
            text = "a receipt lies beside it that it does not countersign"
            return (Claim("neighbour", Standing.REJECTED, text),)
        if receipt.source is not Source.NEIGHBOUR:
            return ()
        text = "the answer did not come to its end, so that no receipt is countersigned"
        return (Claim("neighbour", Standing.ABSENT, text),)
    text = f"{parent.pop}, whose receipt {parent.rid} is countersigned"
    if parent.why:
        text += f"; it was asked for {parent.why}"
    if document.parent is None:
        return (Claim("neighbour", Standing.CLAIMED, f"{text}, and not at hand"),)
    try:
        public_key = proven_parent(parent, document.parent, verify)
    except ReceiptRejectedError as error:
        return (Claim("neighbour", Standing.REJECTED, error.message),)
    if public_key in trusted:
        return (Claim("neighbour", Standing.PROVEN, text),)
    return (Claim("neighbour", Standing.CLAIMED, f"{text}; its key is not among those trusted"),)


def _statements(receipt: Receipt) -> tuple[Claim, ...]:
    model, engine = receipt.model, receipt.engine
    threads = f", threads: {engine.threads}" if engine.threads else ""
    lines = {
        "model": model.name if receipt.asked is None else f"{model.name}, for {receipt.asked}",
        "weights": _or_none(model.weights),
        "tokenizer": _or_none(model.tokenizer),
        "template": _or_none(model.template),
        "engine": f"{engine.build} on {engine.device}{threads}",
        "sampling": _sampling(receipt),
        "usage": f"{receipt.n_in} tokens in ({receipt.n_cached} reused), {receipt.n_out} out",
        "finish": receipt.finish.value,
        "times": _times(receipt),
        "source": _source(receipt),
        "policy": f"key {receipt.key} under {_short(receipt.policy)}",
        "nonce": receipt.client_nonce or None,
    }
    return tuple(
        Claim(name, Standing.ABSENT, "not stated")
        if text is None
        else Claim(name, Standing.CLAIMED, text)
        for name, text in lines.items()
    )


def _memory(receipt: Receipt) -> tuple[Claim, ...]:
    """The passages that the model was shown, by their digests; nothing where there were none."""
    claims = [
        Claim("passages", Standing.CLAIMED, f"of {each.collection}: {digest}")
        for each in receipt.passages
        for digest in each.digests
    ]
    if receipt.pipeline is not None:
        claims.append(Claim("pipeline", Standing.CLAIMED, receipt.pipeline))
    return tuple(claims)


def _absences(receipt: Receipt) -> tuple[Claim, ...]:
    unaudited = f"tier `{receipt.tier}`: nobody has re-checked that this model gave this answer"
    return (
        Claim("audit", Standing.ABSENT, unaudited),
        Claim("log", Standing.ABSENT, "not shown to be in a public log"),
    )


_SOURCES: Final = {
    Source.COMPUTED: "computed by an engine of this PoP",
    Source.UPSTREAM: "passed on from another server, which this PoP can't vouch for",
    Source.NEIGHBOUR: "passed on from another PoP",
    Source.CACHE: "an answer given before, or to several at once",
    Source.ECHO: "the echo engine: no model answered",
}


def _source(receipt: Receipt) -> str:
    said = _SOURCES[receipt.source]
    return said if receipt.origin is None else f"{said}; first as {receipt.origin}"


def _sampling(receipt: Receipt) -> str:
    sampling = receipt.sampling
    said = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
    }
    given = [f"{name} {value}" for name, value in said.items() if value is not None]
    return ", ".join(given) or "the engine's defaults"


def _times(receipt: Receipt) -> str:
    arrived_ns, ended_ns = int(receipt.t_in), int(receipt.t_out)
    arrived = datetime.fromtimestamp(arrived_ns // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")
    text = f"arrived {arrived} UTC, answered in {_milliseconds(ended_ns - arrived_ns)} ms"
    if receipt.t_first is None:
        return text
    return f"{text}, first byte after {_milliseconds(int(receipt.t_first) - arrived_ns)} ms"


def _milliseconds(nanoseconds: int) -> int:
    return nanoseconds // 1_000_000


def _short(digest: Digest) -> str:
    return digest[: len("sha256:") + 16]


def _or_none(digest: Digest | None) -> str | None:
    return None if digest is None else str(digest)
