"""One request under way: performs what its machine says, and is the answer that a handler sees.

The machine (serving/exchange.py) decides. Bytes go from the engine to the handler directly; the
machine hears only of beginnings and ends. docs/life-of-a-request.md tells the same in words.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from typing import Self, assert_never

from littoral.memory.citing import fields_of
from littoral.node.deadline import in_time, opened_in_time
from littoral.node.drive import pump
from littoral.node.entries import entry_for, is_pipeline
from littoral.node.host import Lease as HostLease
from littoral.node.parts import Parts
from littoral.node.vectors import Recalled
from littoral.serving.exchange import (
    Arrived,
    Bounds,
    ClientGone,
    Count,
    Counted,
    Dispatch,
    Effect,
    Ended,
    Event,
    Exchange,
    Fail,
    Lease,
    Leased,
    Lost,
    Record,
    Refund,
    Refused,
    Release,
    Reserve,
    Reserved,
    Sealed,
    Settle,
    Started,
)
from littoral.serving.plan import Plan, plan_of, seed_for
from littoral.serving.tap import Tap
from littoral.terms.errors import (
    DeadlineOverError,
    DrainingError,
    EngineFailedError,
    EngineLostError,
    InternalError,
    LittoralError,
)
from littoral.terms.facts import FirstToken, RequestEnded, RequestRefused
from littoral.terms.ids import receipt_id
from littoral.terms.ports import Engine
from littoral.terms.sources import Sources
from littoral.terms.values import (
    SECOND,
    Ask,
    Caller,
    Countersigned,
    EngineCall,
    EngineKind,
    Finish,
    Instant,
    Kind,
    ModelEntry,
    Usage,
)
from littoral.trust.digests import AnswerDigests
from littoral.trust.issuing import Draft, sampling_of
from littoral.trust.limits import Reservation
from littoral.trust.receipts import SALT_BYTES

__all__ = ["Run"]


class Run:
    """One request under way: performs what its machine says; the handler's view of the answer."""

    def __init__(self, parts: Parts, ask: Ask, caller: Caller) -> None:
        self._parts = parts
        self._ask = ask
        self._caller = caller
        self._arrived = parts.clock.now()
        self._arrived_unix_ns = parts.clock.unix_ns()
        self.receipt_id = receipt_id(self._arrived_unix_ns, parts.clock.random_bytes(10))
        self._salt = parts.clock.random_bytes(SALT_BYTES)
        self._digests = AnswerDigests(salt=self._salt, api=ask.api, request=ask.raw)
        self._tap = Tap(ask.kind, stream=ask.stream)
        self._until = None if caller.hop is None else caller.hop.until
        self._entry: ModelEntry | None = None
        self._machine: Exchange | None = None
        self._reservation: Reservation | None = None
        self._lease: HostLease | None = None
        self._dispatched: Instant | None = None
        self._first: tuple[Instant, int] | None = None
        self._error: LittoralError | None = None
        self._chunks: AsyncGenerator[bytes] | None = None
        self._receipt: asyncio.Future[bytes | LittoralError] | None = None
        self._parent: Countersigned | None = None
        self._recalled: Recalled | None = None
        """What of a batch of texts need not be computed."""
        self._spared = 0
        """Tokens that the answer says and that were not computed for it."""

    # --- the context: what `async with door.answer(...)` does ---

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except DeadlineOverError as error:
            await self._leave(None)
            self._refused(error)
            raise
        except LittoralError as error:
            self._refused(error)
            raise
        except BaseException:
            await self._leave(None)
            raise
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        await self._leave(error)

    async def _begin(self) -> None:
        parts, ask = self._parts, self._ask
        self._entry = entry = self._model()
        if (
            parts.vectors is not None
            and (ask.kind is Kind.EMBED and not self._caller.requires)
            and entry.engine is not EngineKind.UPSTREAM  # its say in this is not heard here
        ):
            self._recalled = await parts.vectors.recall(ask, self._caller, entry, self.receipt_id)
            if self._recalled is not None and self._recalled.missing:
                ask = replace(ask, body={**ask.body, "input": [*self._recalled.missing]})
        plan = plan_of(ask, entry, seed=seed_for(ask.nonce, self.receipt_id))
        self._machine = Exchange(plan, self._bounds(entry))
        first: Event = Arrived()
        work = pump(self._machine, first, self._perform, parts.clock)
        await in_time(work, self._until, parts.clock)
        if self._error is not None:
            raise self._error

    def _model(self) -> ModelEntry:
        """The model that answers: the one asked for, or what stands in for it."""
        ask, entries = self._ask, self._parts.host.entries
        if ask.asked is None:
            return entry_for(entries, ask.model, self._caller)
        if not is_pipeline(ask.asked):  # whoever runs one has seen whether it may be asked
            entry_for(entries, ask.asked, self._caller)
        return entries.entry(ask.model)

    def _bounds(self, entry: ModelEntry) -> Bounds:
        limits = self._caller.limits
        metered = limits.tokens_per_minute is not None or limits.tokens_per_day is not None
        exact = metered or self._ask.count_first
        share, cache = self._parts.host.cache_of(entry)
        return Bounds(entry.context_tokens, share, cache, exact)

    async def _leave(self, error: BaseException | None) -> None:
        """Whatever is not yet ended ends here: the client left, or its handler failed."""
        try:
            if self._machine is not None and not self._machine.done:
                self._feed(self._ending(error))
        finally:
            if self._chunks is not None:
                await self._chunks.aclose()

    def _ending(self, error: BaseException | None) -> Event:
        """A handler is cancelled when its client leaves; any other failure is not the client's."""
        if self._dispatched is None or not isinstance(error, Exception):
            return ClientGone(self._usage())
        if isinstance(error, LittoralError):
            return Lost(error, self._usage())
        return Lost(InternalError("the answer could not be handed on"), self._usage())

    # --- the Answer port ---

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers to send."""
        assert self._entry is not None
        limits = self._parts.keyring.headers(self._caller)
        return {
            "littoral-receipt": self.receipt_id,
            "littoral-salt": self._salt.hex(),
            "littoral-source": self._entry.source.value,
            "littoral-pop": self._parts.pop,
            **({"littoral-model": self._entry.name} if self._ask.asked else {}),
            **({} if self.sources is None else fields_of(self.sources)),
            **limits,
        }

    @property
    def sources(self) -> Sources | None:
        """What memory gave for the answer."""
        return self._ask.memory if isinstance(self._ask.memory, Sources) else None

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        """The engine's bytes."""
        assert self._chunks is not None, "dispatched before the handler gets the answer"
        return self._chunks

    async def _pass_on(self, engine: Engine, call: EngineCall) -> AsyncGenerator[bytes]:
        """The engine's bytes, while its context is open; leaving it early cancels the work."""
        try:
            work = engine.open(call)
            if self._until is not None:
                work = opened_in_time(work, self._until, self._parts.clock)
            async with work as chunks:
                async for data in chunks if self._recalled is None else self._completed(chunks):
                    if self._first is None:
                        self._begun()
                    self._tap.feed(data)
                    yield data
        except LittoralError as error:
            told = error
            if self._parts.host.closed and isinstance(error, EngineLostError):
                told = DrainingError("this PoP is stopping, and the answer ends here unfinished")
            self._feed(Lost(told, self._usage() if self._first else Usage()))
            raise told from error
        self._feed(Ended(self._usage(), self._tap.finish))

    async def _completed(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The answer for all texts, of the one for those that were not there."""
        assert self._recalled is not None, "some were looked for"
        body = self._recalled.completed(b"".join([data async for data in chunks]))
        if body is None:
            raise EngineFailedError("the engine's answer has not one vector for each text")
        self._spared = self._recalled.tokens
        yield body

    def sent(self, data: bytes) -> None:
        """Count bytes of the response body towards the receipt."""
        self._digests.sent(data)

    async def seal(self) -> bytes:
        """End the exchange; its signed receipt, stored already."""
        self._receipt = asyncio.get_running_loop().create_future()
        self._feed(Sealed())
        said = await self._receipt
        if isinstance(said, LittoralError):
            raise said
        return said

    def _sealed(self, said: bytes | LittoralError) -> None:
        """The receipt is kept, or can't be; nobody may be waiting for it any more."""
        if self._receipt is not None and not self._receipt.done():
            self._receipt.set_result(said)

    def outcome(self) -> tuple[Usage, Finish]:
        """Usage and finish so far."""
        return self._usage(), self._tap.finish

    # --- effects ---

    async def _perform(self, effect: Effect) -> Event | None:
        """Effects on the way to the engine: those that wait."""
        try:
            match effect:
                case Count():
                    return Counted(await self._count())
                case Reserve(tokens):
                    self._reservation = self._parts.keyring.reserve(self._caller, tokens)
                    return Reserved()
                case Lease(tokens, slots):
                    return Leased((await self._take_lease(tokens, slots)).info)
                case Dispatch(plan):
                    self._dispatch(plan)
                    return None
                case _:
                    self._do(effect)
                    return None
        except LittoralError as error:
            return Refused(error)

    def _feed(self, event: Event) -> None:
        """Step the machine where its effects do not wait."""
        assert self._machine is not None
        for effect in self._machine.step(event, self._parts.clock.now()):
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Release():
                if self._lease is not None:
                    self._parts.host.release(self._lease.ticket)
            case Settle(tokens):
                if self._reservation is not None:
                    self._parts.keyring.settle(self._reservation, tokens - self._spared)
            case Refund():
                if self._reservation is not None:
                    self._parts.keyring.release(self._reservation)
            case Record(usage, finish):
                self._record(usage, finish)
            case Fail(error):
                self._error = error
            case Count() | Reserve() | Lease() | Dispatch():
                raise AssertionError(f"{effect} waits; it belongs to _perform")
            case _:
                assert_never(effect)

    async def _count(self) -> int | None:
        assert self._machine is not None
        call = self._machine.plan.call
        return await self._parts.host.count(call, wait=self._parts.wait)

    async def _take_lease(self, tokens: int, slots: int) -> HostLease:
        wait = self._parts.wait
        self._lease = await self._parts.host.lease(self._ask.model, tokens, slots, wait=wait)
        return self._lease

    def _dispatch(self, plan: Plan) -> None:
        assert self._lease is not None
        self._dispatched = self._parts.clock.now()
        passage = self._parts.onward.passage(self._caller, self._ask.nonce)
        call = replace(
            plan.call,
            tenant=self._caller.key_id,
            passage=passage,
            countersign=self._countersign,
        )
        self._chunks = self._pass_on(self._lease.engine, call)

    def _countersign(self, receipt: Countersigned) -> None:
        self._parent = receipt

    def _begun(self) -> None:
        self._first = self._parts.clock.now(), self._parts.clock.unix_ns()
        if self._ask.stream:
            seconds = (self._first[0] - self._arrived) / SECOND
            self._parts.observe(FirstToken(self._ask.model, seconds))
        self._feed(Started())

    def _usage(self) -> Usage:
        """What was used so far: the engine's word, and until it comes the prompt as counted."""
        counted = self._machine.prompt_tokens if self._machine is not None else 0
        return self._tap.usage(prompt_tokens=counted)

    def _record(self, usage: Usage, finish: Finish) -> None:
        assert self._entry is not None
        assert self._lease is not None
        assert self._machine is not None
        clock, source = self._parts.clock, self._entry.source
        draft = Draft(
            receipt_id=self.receipt_id,
            api=self._ask.api,
            caller=self._caller,
            nonce=self._ask.nonce,
            salt=self._salt,
            arrived_unix_ns=self._arrived_unix_ns,
            first_byte_unix_ns=self._first[1] if self._first else None,
            ended_unix_ns=clock.unix_ns(),
            model=self._entry,
            engine=self._lease.info,
            sampling=sampling_of(self._machine.plan.call.body),
            digests=self._digests.finish(),
            usage=usage,
            finish=finish,
            source=source,
            asked=self._ask.asked,
            parent=self._parent,
            sources=self.sources,
        )
        self._parts.scribe.keep(draft, self._sealed)
        dispatched = self._dispatched or self._arrived
        streamed = self._first if self._ask.stream else None
        first_s = (streamed[0] - self._arrived) / SECOND if streamed else None
        self._parts.observe(
            RequestEnded(
                receipt_id=self.receipt_id,
                api=self._ask.api,
                kind=self._ask.kind,
                model=self._ask.model,
                key_id=self._caller.key_id,
                source=source,
                finish=finish,
                usage=usage,
                queue_s=(dispatched - self._arrived) / SECOND,
                first_token_s=first_s,
                total_s=(clock.now() - self._arrived) / SECOND,
            )
        )

    def _refused(self, error: LittoralError) -> None:
        if self._dispatched is None:
            fact = RequestRefused(
                self._ask.api, error.code, error.status, self._ask.model, self._caller.key_id
            )
            self._parts.observe(fact)
