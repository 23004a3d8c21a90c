"""What the cache keeps, and how a part of it is named to be dropped.

Structs, as one is made for every hit: a frozen dataclass of this size takes ten times as long.
"""

import re
from typing import Final

import msgspec

from littoral.cache.keys import KEY_BYTES
from littoral.terms.errors import BadRequestError
from littoral.terms.ids import KeyId, ModelName, ReceiptId
from littoral.terms.limits import CACHE_TAG_CHARS_MAX, CACHE_TAGS_MAX
from littoral.terms.sources import Sources
from littoral.terms.values import Finish

__all__ = [
    "ENTRY_OVERHEAD_BYTES",
    "Entry",
    "Selector",
    "StoredAnswer",
    "StoredVector",
    "answer_key_of",
    "tags_of",
    "with_tags_of",
]

ENTRY_OVERHEAD_BYTES: Final = 512
"""What an entry takes in memory beside its bytes: its object, its names, its places in tables."""

_TAG: Final = re.compile(rf"[!-+\--~]{{1,{CACHE_TAG_CHARS_MAX}}}")
_KEY: Final = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One whole answer, as its first client got it."""

    key: bytes
    """`keys.answer_key`."""
    api: str
    model: ModelName
    scope: str
    """Whose it is (`Caller.scope`): the only callers who may be given it."""
    key_id: KeyId
    """The API key that paid for it."""
    tags: tuple[str, ...] = ()
    content_type: str
    body: bytes
    """The exact bytes of the response's body, without the receipt that followed them."""
    texts: tuple[bytes, ...] = ()
    """The answer's texts, part by part: what a receipt of a hit covers."""
    usage: tuple[int, int, int] = (0, 0, 0)
    """Prompt, completion and cached tokens, as the origin counted them."""
    finish: Finish
    receipt_id: ReceiptId | None = None
    """The receipt of the origin, which the receipt of a hit names."""
    stored_unix_ns: int
    expires_unix_ns: int
    cost_us: int
    """How long it took to compute: what a hit saves."""

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, nearly."""
        return ENTRY_OVERHEAD_BYTES + len(self.body) + sum(map(len, self.texts))


class StoredVector(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The embedding of one text."""

    key: bytes
    """One of `keys.embedding_keys`."""
    model: ModelName
    scope: str
    key_id: KeyId
    tags: tuple[str, ...] = ()
    vector: bytes
    """The exact JSON of the `embedding` member."""
    tokens: int
    """Of the text: its share of what its batch had (`embeddings.shares`)."""
    stored_unix_ns: int
    expires_unix_ns: int
    cost_us: int
    receipt_id: ReceiptId | None = None
    """The receipt of the answer that it was a part of."""
    by: str = ""
    """What that answer said made it (`model`)."""

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, nearly."""
        return ENTRY_OVERHEAD_BYTES + len(self.vector)


Entry = StoredAnswer | StoredVector


class Selector(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to drop: those that are all of what is given. Nothing given is all entries."""

    answer: bytes | None = None
    """The entry of this key."""
    key_id: KeyId | None = None
    """What this API key paid for."""
    model: ModelName | None = None
    scope: str | None = None
    """What belongs to these callers (`Caller.scope`)."""
    tag: str | None = None

    def selects(self, entry: Entry) -> bool:
        """Whether it says this entry."""
        return (
            self.answer in (None, entry.key)
            and self.key_id in (None, entry.key_id)
            and self.model in (None, entry.model)
            and self.scope in (None, entry.scope)
            and (self.tag is None or self.tag in entry.tags)
        )


def tags_of(field: str | None) -> tuple[str, ...]:
    """The tags that a client gives its answer, parted by commas.

    Raises:
        BadRequestError: one is malformed, or there are too many.
    """
    if not field:
        return ()
    tags = tuple(sorted({tag.strip() for tag in field.split(",")}))
    if len(tags) > CACHE_TAGS_MAX or not all(map(_TAG.fullmatch, tags)):
        raise BadRequestError(
            "the tags of an answer can't be read",
            advice=f"give at most {CACHE_TAGS_MAX}, parted by commas, each of at most "
            f"{CACHE_TAG_CHARS_MAX} visible ASCII characters without blanks",
            param="Littoral-Cache-Tags",
        )
    return tags


def with_tags_of(tags: tuple[str, ...], sources: Sources | None) -> tuple[str, ...]:
    """Tags, and those by which what was made from these sources can be dropped.

    They are `memory:COLLECTION`, and as far as there is room `memory:COLLECTION/DOCUMENT`; what
    can't be written as a tag has none.
    """
    passages = () if sources is None else sources.passages
    named = [f"memory:{each.collection}" for each in passages]
    named += [f"memory:{each.collection}/{each.document}" for each in passages]
    made = [tag for tag in dict.fromkeys(named) if _TAG.fullmatch(tag)]
    return tuple(dict.fromkeys((*tags, *made)))[:CACHE_TAGS_MAX]


def answer_key_of(text: str) -> bytes:
    """The key that a person wrote.

    Raises:
        BadRequestError: it is none.
    """
    if not _KEY.fullmatch(text.strip().lower()):
        raise BadRequestError(
            f"{text[:80]!r} is not the key of an answer",
            advice=f"give the {2 * KEY_BYTES} hexadecimal digits of `Littoral-Cache-Key`",
        )
    return bytes.fromhex(text.strip())
