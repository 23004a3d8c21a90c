"""Embeddings kept text by text: what of a batch is there, and what its answer adds.

A batch that is all there is given by the relay, as any hit. Of one that is there in part, a `Run`
has the engine compute the rest, and the answer is put together of both (`Recalled`).

Rules
- Freshness is each vector's own, and the request's directives hold for each.
- A vector is kept once, when it was computed: being given again never makes it younger.
- What an answer has of the cache is said in its usage (`cached_tokens`) and is not charged.
- A long batch is looked up in slices, and others run between them.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from littoral.adapters.answers import AnswerStore
from littoral.cache import freshness
from littoral.cache.answers import StoredAnswer, StoredVector, tags_of
from littoral.cache.embeddings import Batch, Parted, batch_of, composed, parted, shares
from littoral.cache.freshness import NO_DIRECTIVES, Directives, Forward, directives_of
from littoral.cache.keys import Identities, embedding_keys
from littoral.terms.errors import NotCachedError
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.limits import CACHE_BATCH_BYTES_MAX, CACHE_LOOKUP_TEXTS
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Ask, Caller, Finish, ModelEntry

__all__ = ["Asked", "Recalled", "Vectors", "Wanted"]


class Wanted(msgspec.Struct, frozen=True):
    """The vectors of one request."""

    batch: Batch
    keys: list[bytes]
    """`keys.embedding_keys` of the texts."""

    @property
    def long(self) -> bool:
        """Whether looking it up takes more than one slice."""
        return len(self.keys) > CACHE_LOOKUP_TEXTS

    @property
    def key(self) -> bytes:
        """The key of the only text; empty where there are several."""
        return self.keys[0] if len(self.keys) == 1 else b""

    def some(self, places: Sequence[int]) -> "Wanted":
        """Those at these places."""
        texts = tuple(self.batch.texts[place] for place in places)
        return Wanted(Batch(texts, self.batch.rest), [self.keys[place] for place in places])


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be known of a request to keep its vectors."""

    entry: ModelEntry
    caller: Caller
    tags: tuple[str, ...]
    epoch: int
    """Of the store, when the request began."""
    began_unix_ns: int
    receipt_id: ReceiptId | None


class Vectors:
    """The vectors in an answer store."""

    def __init__(self, store: AnswerStore, *, policy_epoch: int, ttl_s: int, clock: Clock) -> None:
        """Use this store; the arguments are as `Keeping` has them."""
        self._store = store
        self._policy_epoch = policy_epoch
        self._ttl_s = ttl_s
        self._clock = clock
        self._identities = Identities()

    def wanted(self, scope: str, entry: ModelEntry, body: Mapping[str, object]) -> Wanted | None:
        """What a request asks for; None when it is not well-formed."""
        batch = batch_of(body)
        if batch is None:
            return None
        model = self._identities.of(entry)
        keys = embedding_keys(scope, model, self._policy_epoch, rest=batch.rest, texts=batch.texts)
        return Wanted(batch, keys)

    def look(
        self, keys: Sequence[bytes], model: ModelName | None, directives: Directives
    ) -> tuple[dict[bytes, StoredVector], Forward]:
        """Those that may be given, and, for the others, why not. See AnswerStore.get_many."""
        now = self._clock.unix_ns()
        there = self._store.get_many(keys, model)
        found = {
            key: vector
            for key, vector in there.items()
            if freshness.is_fresh(vector.stored_unix_ns, vector.expires_unix_ns, now, directives)
        }
        return found, Forward.STALE if len(found) < len(there) else Forward.MISS

    async def look_long(
        self, keys: Sequence[bytes], model: ModelName | None, directives: Directives
    ) -> tuple[dict[bytes, StoredVector], Forward]:
        """The same for many."""
        found: dict[bytes, StoredVector] = {}
        why = Forward.MISS
        for start in range(0, len(keys), CACHE_LOOKUP_TEXTS):
            some, reason = self.look(keys[start : start + CACHE_LOOKUP_TEXTS], model, directives)
            found |= some
            why = reason if reason is Forward.STALE else why
            await asyncio.sleep(0)
        return found, why

    def keep(
        self, wanted: Wanted, asked: Asked, body: bytes, upstream: Directives | None
    ) -> Parted | None:
        """Keep each vector of a whole answer, and give them; None if it is not in order.

        Args:
            wanted: the texts that were computed.
            asked: the request that they were computed for.
            body: the answer.
            upstream: what its upstream says of its keeping; None if it may not be kept.
        """
        answer = parted(body, len(wanted.keys))
        if answer is None or upstream is None or len(body) > CACHE_BATCH_BYTES_MAX:
            return answer
        now = self._clock.unix_ns()
        expires = now + freshness.lifetime_s(self._ttl_s, upstream) * SECOND
        cost_us = (now - asked.began_unix_ns) // 1000 // len(wanted.keys)
        tokens = shares(answer.tokens, wanted.batch.texts)
        self._store.put_many(
            [
                StoredVector(
                    key=key,
                    model=asked.entry.name,
                    scope=asked.caller.scope,
                    key_id=asked.caller.key_id,
                    tags=asked.tags,
                    vector=vector,
                    tokens=share,
                    stored_unix_ns=now,
                    expires_unix_ns=expires,
                    cost_us=cost_us,
                    receipt_id=asked.receipt_id,
                    by=answer.model,
                )
                for key, vector, share in zip(wanted.keys, answer.vectors, tokens, strict=True)
            ],
            epoch=asked.epoch,
        )
        return answer

    def answer_of(
        self, wanted: Wanted, found: Mapping[bytes, StoredVector], entry: ModelEntry, caller: Caller
    ) -> StoredAnswer:
        """A batch that is all there, as one answer: as old as its oldest part."""
        vectors = [found[key] for key in wanted.keys]
        tokens = sum(vector.tokens for vector in vectors)
        receipts = {vector.receipt_id for vector in vectors}
        said = [vector.vector for vector in vectors]
        return StoredAnswer(
            key=wanted.key,
            api="embeddings",
            model=entry.name,
            scope=caller.scope,
            key_id=caller.key_id,
            content_type="application/json",
            body=composed(vectors[0].by or entry.name, said, tokens=tokens),
            usage=(tokens, 0, 0),
            finish=Finish.DONE,
            receipt_id=receipts.pop() if len(receipts) == 1 else None,
            stored_unix_ns=min(vector.stored_unix_ns for vector in vectors),
            expires_unix_ns=min(vector.expires_unix_ns for vector in vectors),
            cost_us=sum(vector.cost_us for vector in vectors),
        )

    async def recall(
        self, ask: Ask, caller: Caller, entry: ModelEntry, receipt_id: ReceiptId
    ) -> "Recalled | None":
        """What of a request is there before it is computed; None when the cache stays out of it.

        Raises:
            BadRequestError: the tags are malformed.
            NotCachedError: the client wants nothing computed, and not all of it is there.
        """
        directives = directives_of(ask.fields.get("cache-control"))
        wanted = None if directives.no_store else self.wanted(caller.scope, entry, ask.body)
        if wanted is None:
            return None
        asked = Asked(
            entry=entry,
            caller=caller,
            tags=tags_of(ask.fields.get("littoral-cache-tags")),
            epoch=self._store.epoch,
            began_unix_ns=self._clock.unix_ns(),
            receipt_id=receipt_id,
        )
        found: dict[bytes, StoredVector] = {}
        if freshness.may_look_up(directives, reproducible=True) is None:
            found, _ = await self.look_long(wanted.keys, None, directives)  # the relay counted
            if directives.only_if_cached and len(found) < len(set(wanted.keys)):
                raise NotCachedError("not all of these embeddings are in the cache")
        return Recalled(self, wanted, asked, found)


class Recalled:
    """One request whose vectors are there in part."""

    def __init__(
        self, vectors: Vectors, wanted: Wanted, asked: Asked, found: Mapping[bytes, StoredVector]
    ) -> None:
        """Have what was found, and miss the others, each once."""
        self._vectors = vectors
        self._wanted = wanted
        self._asked = asked
        firsts = {key: place for place, key in reversed([*enumerate(wanted.keys)])}
        missing = sorted(place for key, place in firsts.items() if key not in found)
        # An engine is asked for something: all may have come since the relay missed some.
        self._missing = wanted.some(missing or [0])
        self._whole = len(self._missing.keys) == len(wanted.keys)
        """Nothing is there, and nothing is asked for twice."""
        self._given = {key: found[key] for key in found.keys() - set(self._missing.keys)}
        self.tokens = sum(self._given[key].tokens for key in wanted.keys if key in self._given)
        """Of what is not computed."""

    @property
    def missing(self) -> Sequence[object]:
        """The texts to be asked for; empty where all are, as the client said them."""
        return () if self._whole else self._missing.batch.texts

    def completed(self, body: bytes, upstream: Directives | None = NO_DIRECTIVES) -> bytes | None:
        """The whole answer, of the one for what was missing; what was computed is kept.

        Args:
            body: of the answer for what was missing.
            upstream: see Vectors.keep.

        Returns:
            None when that answer has not one vector for each text.
        """
        missing = self._missing
        answer = self._vectors.keep(missing, self._asked, body, upstream)
        if self._whole:
            return body
        if answer is None:
            return None
        said = {key: vector.vector for key, vector in self._given.items()}
        said |= zip(missing.keys, answer.vectors, strict=True)
        return composed(
            answer.model or self._asked.entry.name,
            [said[key] for key in self._wanted.keys],
            tokens=self.tokens + answer.tokens,
            cached_tokens=self.tokens,
        )
