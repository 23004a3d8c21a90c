"""Exchanges and answers made up for tests, signed with a real key."""

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from littoral.adapters.identity import Identity
from littoral.terms.ids import Digest, KeyId, ModelName, ReceiptId
from littoral.terms.values import (
    Caller,
    EngineInfo,
    EngineKind,
    Finish,
    Kind,
    ModelEntry,
    Source,
    Usage,
)
from littoral.trust.digests import AnswerDigests
from littoral.trust.issuing import Draft, Issuer, SealedReceipt, sampling_of

SIGNER = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
STRANGER = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
SALT = bytes(range(100, 116))
REQUEST = b'{"model":"tiny","messages":[{"role":"user","content":"Capital of France?"}]}'
CALLER = Caller(KeyId("kaaaabbbbcccc"), "someone")


def digest(letter: str) -> Digest:
    return Digest(f"sha256:{letter * 64}")


def event(data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def delta(text: str | None, index: int = 0) -> bytes:
    return event({"choices": [{"index": index, "delta": {"content": text}}]})


STREAM = delta(None) + delta("Par") + delta("is.") + b"data: [DONE]\n\n"


def draft(
    *,
    number: int = 1,
    api: str = "chat.completions",
    request: bytes = REQUEST,
    response: bytes = STREAM,
    nonce: str = "from-the-client",
    ended_unix_ns: int = 1_764_000_002_000_000_000,
) -> Draft:
    digests = AnswerDigests(salt=SALT, api=api, request=request)
    digests.sent(response)
    return Draft(
        receipt_id=ReceiptId(f"rcpt_{number:032x}"),
        api=api,
        caller=CALLER,
        nonce=nonce,
        salt=SALT,
        arrived_unix_ns=ended_unix_ns - 2_000_000_000,
        first_byte_unix_ns=ended_unix_ns - 1_500_000_000,
        ended_unix_ns=ended_unix_ns,
        model=ModelEntry(
            name=ModelName("tiny"),
            engine=EngineKind.LLAMA,
            kinds=(Kind.CHAT,),
            context_tokens=2048,
            digest=digest("a"),
            tokenizer_digest=digest("b"),
            template_digest=digest("c"),
        ),
        engine=EngineInfo(EngineKind.LLAMA, "xllamacpp 1", "cpu", 8, 2048, threads=1),
        sampling=sampling_of({"temperature": 0.2, "max_tokens": 64, "seed": 7}),
        digests=digests.finish(),
        usage=Usage(prompt_tokens=12, completion_tokens=3, cached_tokens=4),
        finish=Finish.STOP,
        source=Source.COMPUTED,
    )


def sealed(
    exchange: Draft | None = None, *, seq: int = 2, signer: Identity = SIGNER
) -> SealedReceipt:
    prev = digest("d") if seq > 1 else None
    return Issuer(signer).issue([exchange or draft()], seq, prev)[0]
