"""Asking a PoP over HTTP, as any client does: chats, and what operators ask it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import msgspec

from littoral.adapters.http.client import HttpClient, Response
from littoral.adapters.http.events import EventCutter, data_of, each
from littoral.adapters.http.words import HttpError, Origin
from littoral.node.home import RunningPop
from littoral.terms import errors
from littoral.terms.errors import LittoralError, UpstreamFailedError
from littoral.terms.limits import BODY_BYTES_MAX
from littoral.trust.receipts import FRAME_START, decode_document
from littoral.trust.saved import encode_bundle, read_saved

__all__ = ["Asks", "PopClient", "Reply", "client_of", "refused"]

T = TypeVar("T")


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Error(msgspec.Struct):
    message: str
    code: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | None = None
    littoral: dict[str, object] | None = None


_KINDS: Final = (
    errors.UnknownModelError,
    errors.NotAllowedError,
    errors.UnsupportedError,
    errors.BadRequestError,
    errors.BodyTooLargeError,
    errors.NotFoundError,
    errors.ConflictError,
    errors.ConfigError,
    errors.IdentityError,
    errors.PortInUseError,
    errors.StoreError,
    errors.OriginBrokeError,
    errors.OriginChangedError,
    errors.NotDeliveredError,
    errors.OriginError,
    errors.DigestMismatchError,
    errors.DiskShortError,
    errors.MemoryShortError,
    errors.LoadingError,
    errors.QueueFullError,
    errors.DrainingError,
    errors.EngineStartError,
)
"""What a PoP may say to a command on its own machine, besides what only a defect makes it say."""

_EVENT = msgspec.json.Decoder(_Event)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, with all that proves it."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    headers: Mapping[str, str]
    """Of the response, names in lower case."""
    request: bytes
    stream: bytes
    """The response body, the receipt frame included."""
    littoral: Mapping[str, object] = field(default_factory=dict)
    """What it was made from, as `memory/citing.py` says it; empty where memory gave nothing."""

    @property
    def receipt_id(self) -> str:
        """Of the receipt that lies in the stream."""
        return self.headers.get("littoral-receipt", "")

    def bundle(self) -> bytes:
        """The answer in one file that `littoral verify` takes."""
        saved = read_saved(self.stream)
        assert saved.document is not None, "a whole stream ends in its receipt"
        receipt = decode_document(saved.document)
        return encode_bundle(response=saved.response, receipt=receipt, request=self.request)


class Asks(Protocol):
    """Takes requests to one server."""

    def request(
        self, method: str, path: str, body: bytes = b"", /
    ) -> AbstractAsyncContextManager[Response]:
        """The answer, while the context is open. Raises HttpError, or an error of ours."""


class PopClient:
    """Talks to one PoP."""

    def __init__(self, http: Asks) -> None:
        self._http = http

    async def chat(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        options: Mapping[str, object],
        on_text: Callable[[str], None],
    ) -> Reply:
        """Stream one answer; `on_text` gets each piece of text as it comes.

        Raises:
            UpstreamFailedError: the PoP refused, broke off, or can't be reached.
        """
        body = {"model": model, "messages": messages, "stream": True, **options}
        body["stream_options"] = {"include_usage": True}
        request = msgspec.json.encode(body)
        try:
            async with self._http.request("POST", "/v1/chat/completions", request) as response:
                if response.status != 200:
                    raise refused(await response.read(BODY_BYTES_MAX))
                return await _read(response, request, on_text)
        except HttpError as error:
            raise _broke_off(error) from error

    async def get(self, path: str, kind: type[T]) -> T:
        """What it answers to a GET.

        Raises:
            UpstreamFailedError: it broke off; whatever it refuses with comes under its own code.
        """
        return msgspec.json.decode(await self._told("GET", path, b""), type=kind)

    async def post(self, path: str, what: msgspec.Struct, kind: type[T]) -> T:
        """What it answers to a POST; raises as `get` does."""
        body = msgspec.json.encode(what)
        return msgspec.json.decode(await self._told("POST", path, body), type=kind)

    async def delete(self, path: str, kind: type[T]) -> T:
        """What it answers to a DELETE; raises as `get` does."""
        return msgspec.json.decode(await self._told("DELETE", path, b""), type=kind)

    async def _told(self, method: str, path: str, body: bytes) -> bytes:
        try:
            async with self._http.request(method, path, body) as response:
                answer = await response.read(BODY_BYTES_MAX)
                if response.status < 300:
                    return answer
        except HttpError as error:
            raise _broke_off(error) from error
        raise refused(answer)


def _broke_off(error: HttpError) -> UpstreamFailedError:
    return UpstreamFailedError(
        f"the PoP broke off: {error}", advice="see its log; is it still running?"
    )


async def _read(response: Response, request: bytes, on_text: Callable[[str], None]) -> Reply:
    cutter, stream, texts = EventCutter(), bytearray(), list[str]()
    finish, usage = "", _Usage()
    littoral: Mapping[str, object] = {}
    async for piece in response:
        whole = cutter.feed(piece)
        stream += whole
        for event in each(whole):
            data = data_of(event)
            if not data or data == b"[DONE]":
                continue
            said = _EVENT.decode(data)
            if said.error is not None:
                raise UpstreamFailedError(said.error.message)
            usage = said.usage or usage
            littoral = said.littoral or littoral
            for choice in said.choices:
                finish = choice.finish_reason or finish
                if choice.delta is not None and choice.delta.content:
                    texts.append(choice.delta.content)
                    on_text(choice.delta.content)
    if FRAME_START not in stream:
        raise UpstreamFailedError("the answer ended without its receipt: it is not whole")
    return Reply(
        text="".join(texts),
        finish=finish,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        headers=dict(response.headers),
        request=request,
        stream=bytes(stream),
        littoral=littoral,
    )


def refused(body: bytes, kinds: Sequence[type[LittoralError]] = _KINDS) -> LittoralError:
    """The PoP's own error, under its own code if it is one of these kinds."""
    try:
        said = _EVENT.decode(body).error or _Error("the PoP refused without saying why")
    except (msgspec.DecodeError, UnicodeError):
        said = _Error("the PoP refused in words that are not understood")
    kind = next((kind for kind in kinds if kind.code == said.code), UpstreamFailedError)
    error = kind(said.message)
    error.advice = ""  # the PoP's message has its advice in it
    return error


@asynccontextmanager
async def client_of(pop: RunningPop) -> AsyncIterator[PopClient]:
    """A client of a PoP on this machine, as its operator, while the context is open."""
    origin, _ = Origin.of_url(pop.url)
    headers = {"authorization": f"Bearer {pop.key}"}
    http = HttpClient(origin, headers=headers, certificate=pop.certificate)
    try:
        yield PopClient(http)
    finally:
        http.close()
