"""Answers and stores for the tests of the cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from littoral.adapters.answers import AnswerStore, CacheBounds
from littoral.adapters.clock import SystemClock
from littoral.cache.answers import StoredAnswer, StoredVector
from littoral.cache.keys import KEY_BYTES
from littoral.terms.facts import Fact
from littoral.terms.ids import KeyId, ModelName, ReceiptId
from littoral.terms.values import SECOND, Finish

MIB = 1024 * 1024
CLOCK = SystemClock()
NOW = 2_000_000_000 * SECOND
"""In 2033, and the same in every process: nothing that is stored then is over its time."""
MODEL = "tiny"
SETTLE_S = 20.0


def key(number: int, kind: str = "answer") -> bytes:
    return blake2b(f"{kind} {number}".encode(), digest_size=KEY_BYTES).digest()


def body(number: int, size: int = 500) -> bytes:
    """Bytes that only this number has."""
    line = b"%d says what it says. " % number
    return (line * (size // len(line) + 1))[:size]


def answer(number: int, size: int = 500, **others: Any) -> StoredAnswer:
    given: dict[str, Any] = {
        "key": key(number),
        "api": "chat.completions",
        "model": ModelName(MODEL),
        "scope": "key:kone",
        "key_id": KeyId("kone"),
        "content_type": "text/event-stream",
        "body": body(number, size),
        "texts": (b"text %d" % number,),
        "usage": (10, 5, 0),
        "finish": Finish.STOP,
        "receipt_id": ReceiptId(f"rcpt_{number:032x}"),
        "stored_unix_ns": NOW,
        "expires_unix_ns": NOW + 86_400 * SECOND,
        "cost_us": 100_000,
        **others,
    }
    return StoredAnswer(**given)


def vector(number: int, **others: Any) -> StoredVector:
    given: dict[str, Any] = {
        "key": key(number, "vector"),
        "model": ModelName("embedder"),
        "scope": "key:kone",
        "key_id": KeyId("kone"),
        "vector": b"[%d.25]" % number,
        "tokens": number,
        "stored_unix_ns": NOW,
        "expires_unix_ns": NOW + 86_400 * SECOND,
        "cost_us": 2_000,
        **others,
    }
    return StoredVector(**given)


@contextmanager
def opened(
    home: Path,
    *,
    disk_bytes: int = 64 * MIB,
    memory_bytes: int = 8 * MIB,
    facts: list[Fact] | None = None,
) -> Iterator[AnswerStore]:
    observe = (lambda _: None) if facts is None else facts.append
    store = AnswerStore(home, CacheBounds(disk_bytes, memory_bytes), clock=CLOCK, observe=observe)
    try:
        yield store
    finally:
        store.close()


def kept(store: AnswerStore, *answers: StoredAnswer) -> None:
    """Put these, and see them written."""
    for each in answers:
        assert store.put(each, epoch=store.epoch)
    assert store.settled(SETTLE_S)


def used_bytes(store: AnswerStore) -> int:
    totals = store.stats().totals
    assert totals is not None
    return totals.used_bytes
