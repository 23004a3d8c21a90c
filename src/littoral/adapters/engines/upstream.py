"""Any server that speaks the OpenAI API: vLLM, SGLang, Ollama, OpenAI, Azure.

Rules
- Bytes pass through whole, streams cut at event boundaries; only the model's name in the request
  is changed, and usage is asked for at the end of streams.
- The key is read from its file or variable when connecting, and shows in no error.
- An upstream that rejects this PoP's key, or limits it, is not the caller's fault, and the error
  does not say it is. What the caller can mend (status 400) keeps the upstream's words.

Not here: choosing between upstreams; retrying.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from littoral.adapters.engines.events import (
    DONE,
    EventCutter,
    EventTooLongError,
    data_of,
    error_in,
)
from littoral.adapters.engines.place import EnginePlace
from littoral.adapters.http.client import HttpClient, Response, once
from littoral.adapters.http.words import Deadlines, HttpError, Origin, WaitedTooLongError
from littoral.terms.errors import (
    BadRequestError,
    ConfigError,
    LittoralError,
    QueueFullError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from littoral.terms.limits import ANSWER_BYTES_MAX
from littoral.terms.values import (
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

__all__ = ["ReadSecret", "UpstreamEngine"]

ReadSecret = Callable[[str], str | None]
"""An environment variable's value."""

_PATHS: Final = {
    Kind.CHAT: "/chat/completions",
    Kind.COMPLETE: "/completions",
    Kind.EMBED: "/embeddings",
}
_PROBE: Final = Deadlines(connect_s=5.0, first_byte_s=10.0, between_bytes_s=10.0)
_PROBE_PAUSE_MIN_S: Final = 0.5
_PROBE_PAUSE_MAX_S: Final = 30.0
_SAID_CHARS_MAX: Final = 500
_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"')
"""A choice has come to its end, whatever follows."""

_RETRY_AFTER_S: Final = 5.0
"""When an upstream that limits us does not say for how long."""


class UpstreamEngine:
    """One model of one upstream."""

    def __init__(self, entry: ModelEntry, place: EnginePlace, *, secret: ReadSecret) -> None:
        """Connect to nothing yet.

        Raises:
            ConfigError: the entry does not say where the upstream is, or not well.
        """
        if not entry.upstreams:
            raise ConfigError(f"{entry.name} names no upstream", advice="give its base URL")
        self._entry = entry
        self._slots = place.slots
        self._target = entry.upstreams[0]
        self._origin, self._path = Origin.of_url(self._target.base_url)
        self._secret = secret
        self._key = ""
        self._client: HttpClient | None = None
        self._suspect = asyncio.Event()

    async def serve(self, report: Callable[[EngineState], None]) -> None:
        """Probe until the upstream answers, and again whenever a call finds it gone."""
        report(Starting("asking the upstream"))
        pause_s = _PROBE_PAUSE_MIN_S
        try:
            while True:
                self._suspect.clear()
                error = await self._probe()
                if error is None:
                    pause_s = _PROBE_PAUSE_MIN_S
                    report(Ready(self._info()))
                    await self._suspect.wait()
                else:
                    report(Down(error, retrying=True))
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _PROBE_PAUSE_MAX_S)
        finally:
            if self._client is not None:
                self._client.close()

    @asynccontextmanager
    async def open(self, call: EngineCall) -> AsyncIterator[AsyncIterator[bytes]]:
        """Do the work while the context is open; see the port."""
        body: dict[str, object] = {**call.body, "model": self._target.model}
        stream = call.stream and call.kind is not Kind.EMBED
        if call.kind is not Kind.EMBED:
            body["stream"] = stream
            body.pop("stream_options", None)
        if stream:
            body["stream_options"] = {"include_usage": True}
        try:
            async with self._request("POST", _PATHS[call.kind], body) as response:
                if response.status != 200:
                    raise self._error_of(response, await response.read(ANSWER_BYTES_MAX))
                if stream:
                    async with aclosing(self._whole_events(response)) as events:
                        yield events
                else:
                    yield once(_whole(await response.read(ANSWER_BYTES_MAX)))
        except WaitedTooLongError as error:
            raise UpstreamTimeoutError(f"the upstream was given up after {error}") from error
        except HttpError as error:
            self._suspect.set()
            raise UpstreamFailedError(f"the upstream failed: {error}") from error

    async def count(self, call: EngineCall) -> int | None:  # noqa: ARG002  # the port's
        """Not known: the OpenAI API has no such question."""
        return None

    # --- the connection ------------------------------------------------------------------------

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: object = None, deadlines: Deadlines | None = None
    ) -> AsyncIterator[Response]:
        if self._client is None:
            self._client = self._connected()
        raw = b"" if body is None else msgspec.json.encode(body)
        async with self._client.request(
            method, self._path + path, raw, deadlines=deadlines
        ) as response:
            yield response

    def _connected(self) -> HttpClient:
        """A client with the key as it is now."""
        target = self._target
        self._key = self._read_key()
        headers = {"accept-encoding": "identity"}
        if self._key:
            name = target.key_header.lower()
            headers[name] = f"Bearer {self._key}" if name == "authorization" else self._key
        return HttpClient(self._origin, headers=headers)

    def _read_key(self) -> str:
        """The key, or nothing when none is set up.

        Raises:
            ConfigError: one is, and it can't be read.
        """
        target = self._target
        if target.key_file is not None:
            try:
                return Path(target.key_file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise ConfigError(
                    f"the upstream's key file {target.key_file} can't be read",
                    advice="put the key alone into it, readable by you only (chmod 600)",
                ) from None
        if target.key_env is not None:
            key = self._secret(target.key_env)
            if not key:
                raise ConfigError(
                    f"the environment variable {target.key_env} has no key in it",
                    advice="set it before starting, or give a key file",
                )
            return key.strip()
        return ""

    async def _probe(self) -> LittoralError | None:
        """What is wrong with the upstream, or None. Every probe reads the key anew."""
        if self._client is not None:
            self._client.close()
            self._client = None
        try:
            async with self._request("GET", "/models", deadlines=_PROBE) as response:
                status = response.status
                answer = await response.read(ANSWER_BYTES_MAX)
                if status in {401, 403} or status >= 500:
                    return self._error_of(response, answer)
        except WaitedTooLongError as error:
            return UpstreamTimeoutError(f"the upstream was given up after {error}")
        except HttpError as error:
            return UpstreamFailedError(f"the upstream does not answer: {error}")
        except LittoralError as error:
            return error
        return None  # a server without /models (404) is a server all the same

    def _info(self) -> EngineInfo:
        return EngineInfo(
            engine=EngineKind.UPSTREAM,
            build=f"upstream {self._target.model}",
            device=self._origin.authority,
            slots=self._slots,
            context_tokens=self._entry.context_tokens,
        )

    # --- its answers ---------------------------------------------------------------------------

    async def _whole_events(self, response: Response) -> AsyncGenerator[bytes]:
        """Its events as they come, and the closing mark for servers that leave it out."""
        if "json" in response.headers.get("content-type", ""):
            raise UpstreamFailedError("the upstream answered without streaming")
        cutter = EventCutter()
        tail, finished = b"", False
        try:
            async for data in response:
                events = cutter.feed(data)
                if not events:
                    continue
                if (error := error_in(events)) is not None:
                    said = self._said(error)
                    raise UpstreamFailedError(f"the upstream failed in the middle: {said}")
                tail = (tail + events)[-64:]
                finished = finished or _FINISHED.search(events) is not None
                yield events
        except EventTooLongError as error:
            raise UpstreamFailedError(f"the upstream sent {error}") from error
        if _is_done(tail):
            return
        if not finished and data_of(cutter.rest()) != b"[DONE]":
            raise UpstreamFailedError("the upstream ended its answer in the middle")
        yield DONE

    def _error_of(self, response: Response, answer: bytes) -> LittoralError:
        """Ours for an answer that is not 200."""
        status, said = response.status, self._said(answer)
        match status:
            case 400 | 413 | 422:
                return BadRequestError(f"the upstream does not take this request: {said}")
            case 401 | 403:
                return UpstreamFailedError(
                    "the upstream rejected this PoP's key",
                    advice="the operator can mend it: check the key of this upstream",
                )
            case 404:
                return UpstreamFailedError(
                    "the upstream has no such model or path",
                    advice="the operator can mend it: check the upstream's URL and model name",
                )
            case 408 | 504:
                return UpstreamTimeoutError("the upstream timed out")
            case 429:
                return QueueFullError(
                    "the upstream limits this PoP at the moment",
                    advice="try again later; this is not your own limit",
                    retry_after_s=_seconds(response) or _RETRY_AFTER_S,
                )
            case _:
                return UpstreamFailedError(
                    f"the upstream answered {status}", retry_after_s=_seconds(response)
                )

    def _said(self, answer: bytes) -> str:
        """The upstream's own words, without this PoP's key, and bounded."""
        try:
            decoded = msgspec.json.decode(answer)
        except msgspec.MsgspecError:
            decoded = None
        for name in ("error", "message"):
            if isinstance(decoded, dict) and name in decoded:
                decoded = decoded[name]
        text = decoded if isinstance(decoded, str) else "it did not say why"
        if self._key:
            text = text.replace(self._key, "[key]")
        return text[:_SAID_CHARS_MAX]


class _Body(msgspec.Struct):
    """An answer in one piece has one of these."""

    choices: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None


def _whole(answer: bytes) -> bytes:
    """The body, if it is an answer at all."""
    try:
        body = msgspec.json.decode(answer, type=_Body)
    except (msgspec.MsgspecError, ValueError):
        body = _Body()
    if body.choices is None and body.data is None:
        raise UpstreamFailedError("the upstream answered 200 with something else than an answer")
    return answer


def _is_done(tail: bytes) -> bool:
    """Whether a stream that ends so has its closing mark."""
    return tail.rstrip().endswith((b"data: [DONE]", b"data:[DONE]"))


def _seconds(response: Response) -> float | None:
    """`Retry-After`, when it is in seconds."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() else None
