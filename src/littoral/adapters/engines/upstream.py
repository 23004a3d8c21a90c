"""Any server that speaks the OpenAI API, as an engine: vLLM, SGLang, Ollama, OpenAI, Azure.

It is for requests that must be translated; those in an API that the upstream speaks itself go the
relay's way, past this. Which upstream is asked, and what follows a failure, is the same for both
(adapters/upstreams).

`serve` probes: an upstream that nobody asks is known to be well before somebody does, and one whose
breaker is open is tried as soon as it answers again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from littoral.adapters.http.unread import Unread
from littoral.adapters.upstreams.fetch import Fetch
from littoral.adapters.upstreams.probe import probe
from littoral.adapters.upstreams.upstreams import Route, Upstreams
from littoral.adapters.upstreams.words import RERANK, Begun, Errand
from littoral.serving.outcome import Outcome
from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    LittoralError,
    UnknownModelError,
    UpstreamFailedError,
)
from littoral.terms.kinds import writes
from littoral.terms.limits import UPSTREAM_CONNECTIONS_MAX
from littoral.terms.values import (
    Countersigned,
    Down,
    EngineCall,
    EngineInfo,
    EngineKind,
    EngineState,
    Kind,
    ModelEntry,
    Ready,
    Starting,
)

__all__ = ["Awaited", "UpstreamEngine"]

_APIS: Final = {
    Kind.CHAT: "chat.completions",
    Kind.COMPLETE: "completions",
    Kind.EMBED: "embeddings",
    Kind.RERANK: RERANK,
}
_PAUSE_MIN_S: Final = 0.5
_PAUSE_MAX_S: Final = 30.0


class UpstreamEngine:
    """One model of other servers."""

    def __init__(
        self,
        entry: ModelEntry,
        upstreams: Upstreams,
        current: Callable[[], ModelEntry] | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            entry: the model.
            upstreams: the connections to other servers.
            current: the entry as it is by now: an upstream that was drained since gets no new
                request, and what is under way there goes on.

        Raises:
            ConfigError: the entry does not say where the upstreams are, or not well.
        """
        if not entry.upstreams:
            raise ConfigError(f"{entry.name} names no upstream", advice="give its base URL")
        self._entry = entry
        self._upstreams = upstreams
        self._current = current
        self._suspect = asyncio.Event()
        """A call has found no upstream that answers."""

    async def serve(self, report: Callable[[EngineState], None]) -> None:
        """Probe until an upstream answers, and from then on those that are not well."""
        report(Starting("asking the upstream"))
        pause_s = _PAUSE_MIN_S
        ready = False
        while True:
            self._suspect.clear()
            error = await self._probe()
            if error is not None:
                report(Down(error, retrying=True))
            elif not ready:
                report(Ready(self._info()))
            if ready != (error is None):
                ready, pause_s = error is None, _PAUSE_MIN_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._suspect.wait()
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    @asynccontextmanager
    async def open(self, call: EngineCall) -> AsyncIterator[AsyncIterator[bytes]]:
        """Do the work while the context is open; see the port."""
        stream = call.stream and writes(call.kind)
        body = {name: value for name, value in call.body.items() if name != "stream_options"}
        if writes(call.kind):
            body["stream"] = stream
        if stream:
            body["stream_options"] = {"include_usage": True}
        model = str(body.get("model", self._entry.name))
        raw = msgspec.json.encode({**body, "model": model})
        answer = Awaited(call.countersign)
        route = self._route()
        errand = Errand(_APIS[call.kind], raw, model, stream, passage=call.passage)
        fetch = self._upstreams.fetch(route, errand, answer)
        answer.fetch = fetch
        try:
            fetch.start()
            await answer.heard()
            yield answer
        except UpstreamFailedError:
            self._suspect.set()
            raise
        finally:
            fetch.cancel()

    async def count(self, call: EngineCall) -> int | None:  # noqa: ARG002  # the port's
        """Not known: the OpenAI API has no such question."""
        return None

    def _route(self) -> Route:
        entry = self._entry if self._current is None else self._current()
        return self._upstreams.route(entry)

    async def _probe(self) -> LittoralError | None:
        """Why none of the upstreams is well, or None if one is."""
        try:
            route = self._route()
        except (ConfigError, UnknownModelError) as error:
            return error
        errors = [
            await probe(self._upstreams, row, target) for row, target in route.targets[0].items()
        ]
        return None if None in errors else errors[0]

    def _info(self) -> EngineInfo:
        first = self._entry.upstreams[0]
        return EngineInfo(
            engine=EngineKind.UPSTREAM,
            build=f"upstream {first.model}",
            device=next(iter(self._route().targets[0].values())).name,
            slots=UPSTREAM_CONNECTIONS_MAX,
            context_tokens=self._entry.context_tokens,
        )


class Awaited(Unread):
    """One answer, kept until it is taken: a Listener, to be iterated."""

    __slots__ = ("_countersign", "fetch")

    def __init__(self, countersign: Callable[[Countersigned], None] | None) -> None:
        super().__init__()
        self._countersign = countersign
        self.fetch: Fetch | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await self.heard()
        if not self._pieces:
            raise StopAsyncIteration
        return self._take()

    def begun(self, begun: Begun) -> None:
        """The bytes follow."""

    def ended(self, outcome: Outcome) -> None:
        """All of it is here."""
        if outcome.parent is not None and self._countersign is not None:
            self._countersign(outcome.parent)
        self.end()

    def whole(self, begun: Begun, body: bytes, outcome: Outcome) -> None:
        """All of it is here, in one piece; or a refusal."""
        if begun.status == 200:
            self._pieces.append(body)
            self.ended(outcome)
        else:
            refused = BadRequestError("the upstream refused the request")
            self.lost(begun.refusal or refused)

    def failed(self, error: LittoralError) -> None:
        """There is none, or not all of it."""
        self.lost(error)

    def _pause(self) -> None:
        if self.fetch is not None:
            self.fetch.pause()

    def _resume(self) -> None:
        if self.fetch is not None:
            self.fetch.resume()
