"""The answer cache in the way of a hot request: what is looked up, given again, and kept.

Whether a request may be looked up and its answer kept is the cache room's to say; this asks it,
and turns what is stored into an answer and back. What is looked up is always the caller's own: its
scope is the first part of the key.
"""

from typing import Final

import msgspec

from littoral.adapters.answers import AnswerStore
from littoral.adapters.upstreams.words import Begun, Listener
from littoral.cache import freshness
from littoral.cache.answers import StoredAnswer, StoredVector, tags_of, with_tags_of
from littoral.cache.freshness import Directives, Forward, directives_of
from littoral.cache.keys import Identities, answer_key, canonical, reproducible, sourced_key
from littoral.cache.semantic import Reuse
from littoral.node.relay.desk import Order
from littoral.node.relay.reusing import KeptAnswer, Reusing, Wishes, said_of
from littoral.node.reuse import Judgement
from littoral.node.vectors import Asked, Recalled, Vectors, Wanted
from littoral.serving.outcome import Outcome
from littoral.terms.errors import NotCachedError
from littoral.terms.ids import ModelName, ReceiptId
from littoral.terms.limits import CACHE_QUESTION_BYTES_MAX, CACHE_QUESTIONS_KNOWN_MAX
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Caller, EngineInfo, ModelEntry, Usage
from littoral.web.head import Head

__all__ = ["BYPASS", "Keeping", "Question"]

BYPASS: Final = f"cache-status: {freshness.forwarded(Forward.BYPASS)}\r\n"
"""The header field of an answer that the cache has nothing to do with."""


# A Struct, as every request that may be looked up makes one.
class Question(msgspec.Struct):
    """One request, as the cache sees it."""

    key: bytes
    directives: Directives
    reproducible: bool
    """Its answer may be kept without being asked for."""
    epoch: int
    """Of the store, when the request began: a purge since then keeps its answer out."""
    tags: tuple[str, ...]
    why: Forward | None = None
    """Why the cache does not answer it; None while it may."""
    wanted: Wanted | None = None
    """The texts to embed, which are kept one by one."""
    found: dict[bytes, StoredVector] | None = None
    """Their vectors that are there, once they were looked for."""
    missed: Forward = Forward.MISS
    """Why the others are not given."""
    exact: bool = True
    """The answer to the same words would do; not so for one that reuse by meaning has to prove."""
    reuse: Reuse | None = None
    """How it may be answered by meaning."""
    judgement: Judgement[KeptAnswer] | None = None
    """What was said of that."""

    @property
    def joins(self) -> bool:
        """Whether the same request under way would do."""
        return self.exact and self.why is not Forward.REQUEST

    @property
    def to_be_judged(self) -> bool:
        """Whether an answer to other words may do, and that was not found out yet."""
        return self.reuse is not None and self.judgement is None and self.why is not Forward.REQUEST

    @property
    def long(self) -> bool:
        """Whether looking it up takes a while."""
        return self.why is None and self.wanted is not None and self.wanted.long

    @property
    def lends(self) -> bool:
        """Whether another worker may be asked for it."""
        return self.joins and (self.wanted is None or not self.wanted.long)


class _Read(msgspec.Struct, frozen=True):
    """What a request's bytes come to, from one caller at one door to one model."""

    entry: ModelEntry
    scope: str
    api: str
    reproducible: bool
    key: bytes
    wanted: Wanted | None


class Keeping:
    """The cache, as the relay uses it."""

    def __init__(
        self,
        store: AnswerStore,
        vectors: Vectors,
        *,
        wishes: Wishes | None,
        reusing: Reusing | None,
        policy_epoch: int,
        ttl_s: int,
        clock: Clock,
    ) -> None:
        """Use this store.

        Args:
            store: what is kept.
            vectors: the embeddings in it.
            wishes: what requests want of reuse by meaning; None where there is none.
            reusing: that reuse; None where it is another process's to do.
            policy_epoch: another number makes everything kept so far unreachable.
            ttl_s: how long an answer is fresh.
            clock: wall-clock time.
        """
        self._store = store
        self.vectors = vectors
        self.reusing = reusing
        self._wishes = wishes
        self._policy_epoch = policy_epoch
        self._ttl_s = ttl_s
        self._clock = clock
        self._identities = Identities()
        self._infos: dict[ModelName, EngineInfo] = {}
        self._known: dict[bytes, _Read] = {}
        """By a request's bytes: who sent them last, and what they came to."""

    def question(self, order: Order, entry: ModelEntry, head: Head) -> Question | None:
        """What to ask the cache; None when the request is none of its business.

        Raises:
            BadRequestError: the tags are malformed.
        """
        if order.caller.requires:
            return None  # what is kept was made for who required nothing
        headers = head.headers
        directives = directives_of(headers.get("cache-control"))
        reuse = None if self._wishes is None else self._wishes.of(order, head)
        may = directives.asks_for_reuse or reuse is not None or _may_be_reproducible(order, entry)
        read = self._read(order, entry) if may else None
        if read is None:
            return None
        why = freshness.may_look_up(directives, reproducible=read.reproducible)
        exact = why is not Forward.BYPASS
        if not exact and reuse is None:
            return None
        tags = with_tags_of(tags_of(headers.get("littoral-cache-tags")), order.sources)
        epoch, wanted = self._store.epoch, read.wanted
        if reuse is None:
            return Question(read.key, directives, read.reproducible, epoch, tags, why, wanted)
        why = why if exact else Forward.MISS
        question = Question(read.key, directives, read.reproducible or not exact, epoch, tags, why)
        question.exact, question.reuse = exact, reuse
        return question

    def _read(self, order: Order, entry: ModelEntry) -> "_Read | None":
        """The key of a request; the same bytes from the same caller are not read twice."""
        raw, scope, api = order.raw, order.caller.scope, order.api.name
        sources = order.sources
        known = self._known.get(raw) if sources is None else None
        if known is not None and known.entry is entry and known.scope == scope and known.api == api:
            return known
        try:
            body = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None  # whoever answers it says what is wrong
        wanted: Wanted | None = None
        if api == "embeddings":
            wanted = self.vectors.wanted(scope, entry, body)
            if wanted is None:
                return None
        same = reproducible(api, body, entry.defaults, sourced=sources is not None)
        model = self._identities.of(entry)
        key = answer_key(scope, model, api, self._policy_epoch, canonical(body))
        if sources is not None:
            return _Read(entry, scope, api, same, sourced_key(key, sources), wanted)
        read = _Read(entry, scope, api, same, key, wanted)
        if len(raw) <= CACHE_QUESTION_BYTES_MAX:
            if len(self._known) >= CACHE_QUESTIONS_KNOWN_MAX:
                self._known.clear()
            self._known[raw] = read
        return read

    def find(self, question: Question, entry: ModelEntry, caller: Caller) -> StoredAnswer | None:
        """The stored answer that may be given now; else `question.why` says why there is none.

        Raises:
            NotCachedError: the client wanted nothing else.
        """
        if question.why is None:
            if question.wanted is not None:
                stored = self._find_all(question, question.wanted, entry, caller)
            else:
                stored = self._find(question, entry)
            if stored is not None:
                return stored
        if question.directives.only_if_cached:
            raise NotCachedError("this answer is not in the cache")
        return None

    def _find(self, question: Question, entry: ModelEntry) -> StoredAnswer | None:
        stored = self._store.get(question.key, entry.name)
        if stored is None:
            question.why = Forward.MISS
        elif freshness.is_fresh(
            stored.stored_unix_ns,
            stored.expires_unix_ns,
            self._clock.unix_ns(),
            question.directives,
        ):
            return stored
        else:
            question.why = Forward.STALE
        return None

    def _find_all(
        self, question: Question, wanted: Wanted, entry: ModelEntry, caller: Caller
    ) -> StoredAnswer | None:
        if question.found is None:
            looked = self.vectors.look(wanted.keys, entry.name, question.directives)
            question.found, question.missed = looked
        if question.found.keys() >= set(wanted.keys):
            return self.vectors.answer_of(wanted, question.found, entry, caller)
        question.why = Forward.PARTIAL if question.found else question.missed
        return None

    async def judge(self, question: Question, order: Order, entry: ModelEntry) -> None:
        """Find out whether an answer to other words will do."""
        assert self.reusing is not None, "there is reuse here"
        assert question.reuse is not None, "it is wanted"
        question.judgement = await self.reusing.judge(order, entry, question.reuse)

    async def seek(self, question: Question, entry: ModelEntry) -> None:
        """Look for the vectors of a long batch, so that `find` need not."""
        assert question.wanted is not None, "a batch is sought"
        keys = question.wanted.keys
        looked = await self.vectors.look_long(keys, entry.name, question.directives)
        question.found, question.missed = looked

    def deliver(self, stored: StoredAnswer, entry: ModelEntry, listener: Listener) -> None:
        """Say a stored answer as it was said first: in one piece, or as a stream."""
        begun = self._begun(stored, entry)
        outcome = Outcome(stored.finish, Usage(*stored.usage))
        if stored.content_type.startswith("text/event-stream"):
            listener.begun(begun)
            listener.data(stored.body)
            listener.ended(outcome)
        else:
            listener.whole(begun, stored.body, outcome)

    def _begun(self, stored: StoredAnswer, entry: ModelEntry) -> Begun:
        """The beginning of an answer given again."""
        info = self._infos.get(entry.name)
        if info is None:
            info = EngineInfo(entry.engine, "answer cache", "none", 0, entry.context_tokens)
            self._infos[entry.name] = info
        return Begun(200, stored.content_type, entry, info)

    def notes_of_hit(self, stored: StoredAnswer, question: Question) -> str:
        """The header fields that say that, and how long, an answer was kept."""
        now = self._clock.unix_ns()
        ttl = freshness.ttl_s(stored.expires_unix_ns, now)
        detail, said = ("", "") if question.judgement is None else ("semantic", _said(question))
        return (
            f"cache-status: {freshness.hit(ttl, detail)}\r\n{said}"
            f"age: {freshness.age_s(stored.stored_unix_ns, now)}\r\n"
            f"cache-control: {freshness.cache_control(ttl)}\r\n{_key_field(stored.key)}"
        )

    def notes_of_miss(self, question: Question, *, collapsed: bool = False) -> str:
        """The header fields of an answer that was computed."""
        why = question.why or Forward.MISS
        return (
            f"cache-status: {freshness.forwarded(why, collapsed=collapsed)}\r\n{_said(question)}"
            f"{_key_field(question.key if question.wanted is None else question.wanted.key)}"
        )

    def keep(  # an answer has this many sides
        self,
        question: Question,
        order: Order,
        begun: Begun,
        outcome: Outcome,
        body: bytes,
        receipt_id: ReceiptId | None,
    ) -> None:
        """Keep a whole answer, if it may be. A fallback's belongs to nobody's key.

        Args:
            question: what was asked of the cache.
            order: the request.
            begun: how the answer began.
            outcome: how it ended.
            body: all of it.
            receipt_id: its receipt, which those who are given it again are referred to.
        """
        upstream = self._may_keep(question, order, begun, outcome)
        if upstream is None:
            return
        if question.wanted is not None:
            self.vectors.keep(question.wanted, _asked(question, order, begun.entry), body, upstream)
            return
        now = self._clock.unix_ns()
        usage = outcome.usage or Usage()
        answer = StoredAnswer(
            key=question.key,
            api=order.api.name,
            model=order.model,
            scope=order.caller.scope,
            key_id=order.caller.key_id,
            tags=question.tags,
            content_type=begun.content_type,
            body=body,
            usage=(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens),
            finish=outcome.finish,
            receipt_id=receipt_id,
            stored_unix_ns=now,
            expires_unix_ns=now + freshness.lifetime_s(self._ttl_s, upstream) * SECOND,
            cost_us=(now - order.arrived_unix_ns) // 1000,
        )
        kept = self._store.put(answer, epoch=question.epoch)
        if question.judgement is not None and self.reusing is not None:
            self.reusing.learn(question.judgement, answer, kept=kept)

    def _may_keep(
        self, question: Question, order: Order, begun: Begun, outcome: Outcome
    ) -> Directives | None:
        """What an answer's upstream says of its keeping; None if it may not be kept."""
        upstream = directives_of(begun.cache_control)
        if begun.content_type.startswith("text/event-stream"):
            # Servers put `no-cache` on every stream, for proxies that would hold its events back.
            upstream = msgspec.structs.replace(upstream, no_cache=False)
        if begun.entry.guest:  # another PoP's cache says so of the caller whose key this is under
            upstream = msgspec.structs.replace(upstream, private=False)
        may = freshness.may_store(
            question.directives,
            reproducible=question.reproducible,
            status=begun.status,
            finish=outcome.finish,
            upstream=upstream,
        )
        return upstream if may and begun.entry.name == order.model else None

    # --- a batch that is there in part ---

    def recalled(self, question: Question, order: Order, entry: ModelEntry) -> Recalled | None:
        """What is there of a batch; None unless it is some, and the rest can be asked for alone.

        Vectors of a fallback are another model's: where one may answer, it is asked for all.
        """
        if question.wanted is None or not question.found or entry.fallbacks:
            return None
        asked = _asked(question, order, entry)
        return Recalled(self.vectors, question.wanted, asked, question.found)

    def completed(
        self,
        recalled: Recalled,
        question: Question,
        order: Order,
        begun: Begun,
        outcome: Outcome,
        body: bytes,
    ) -> bytes | None:
        """The whole answer, of the one for the rest. See Recalled.completed."""
        return recalled.completed(body, self._may_keep(question, order, begun, outcome))


def _asked(question: Question, order: Order, entry: ModelEntry) -> Asked:
    return Asked(
        entry=entry,
        caller=order.caller,
        tags=question.tags,
        epoch=question.epoch,
        began_unix_ns=order.arrived_unix_ns,
        receipt_id=order.receipt_id if entry.relay.receipts else None,
    )


def _said(question: Question) -> str:
    """The header field that says what reuse by meaning has done, if it was asked for."""
    if question.reuse is None or question.judgement is None:
        return ""
    return said_of(question.judgement, question.reuse)


def _key_field(key: bytes) -> str:
    """The header field that names what is kept; none for a batch, whose texts are kept each."""
    return f"littoral-cache-key: {key.hex()}\r\n" if key else ""


def _may_be_reproducible(order: Order, entry: ModelEntry) -> bool:
    """A look without reading the body: what is false here is not reproducible."""
    wish = order.wish
    temperature = entry.defaults.temperature if wish.temperature is None else wish.temperature
    return temperature == 0 or wish.seed is not None or order.api.name == "embeddings"
