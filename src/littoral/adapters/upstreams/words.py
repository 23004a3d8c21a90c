"""What is asked of upstreams, and what whoever asked hears of the answer."""

from typing import Final, Protocol

import msgspec

from littoral.serving.outcome import Outcome
from littoral.terms.errors import LittoralError
from littoral.terms.values import EngineInfo, ModelEntry

__all__ = ["PATHS", "Begun", "Errand", "Listener"]

PATHS: Final = {
    "chat.completions": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
    "messages": "/messages",
}
"""Where each API is, below an upstream's base URL."""

_RAW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STREAM_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')


# A Struct, as every request makes one.
class Errand(msgspec.Struct):
    """One request for an upstream: the client's own bytes, and what may be changed in them."""

    api: str
    """As in `Ask.api`; a key of PATHS."""
    body: bytes
    """The JSON object as the client sent it."""
    model: str
    """What it says in `model`."""
    stream: bool
    untouched: bool = True
    """The body has each member once and in plain spelling, so that all readers see the same."""
    usage: bool = False
    """A stream is to end with its usage, which the client did not ask for."""
    fields: str = ""
    """Header fields of the client's that go along, each with its line end."""

    def body_for(self, model: str) -> bytes:
        """The body, with the name that an upstream has for the model.

        Whatever is not changed keeps its bytes.
        """
        if self.untouched and not self.usage and model == self.model:
            return self.body
        members = _RAW.decode(self.body)
        members["model"] = msgspec.Raw(msgspec.json.encode(model))
        if self.api == "embeddings":
            members.pop("stream", None)  # there are none: what one would get is not said anywhere
        if self.usage:
            members["stream_options"] = _STREAM_USAGE
        return msgspec.json.encode(members)


class Begun(msgspec.Struct):
    """An upstream answers. What is heard next belongs to this answer and to no other."""

    status: int
    """200, or a refusal that is the client's own fault."""
    content_type: str
    entry: ModelEntry
    """The model that answers: the one asked for, or a fallback."""
    info: EngineInfo
    """The engine, as receipts name it."""
    target: str = ""
    """Which upstream it is, as people write it: `host:port`; empty for no upstream."""
    cache_control: str = ""
    """What the upstream says of its keeping."""
    refusal: LittoralError | None = None
    """The same as an error of ours, if the status is not 200."""


class Listener(Protocol):
    """Who is told of an answer.

    Of a stream: `begun` once, then data, then `ended` or `failed`. Of an answer in one piece:
    `whole` alone. `failed` may come alone, when no upstream has answered.
    """

    def begun(self, begun: Begun) -> None:
        """There is a stream, and its first events are here."""

    def data(self, data: bytes) -> None:
        """More of the stream: whole events."""

    def ended(self, outcome: Outcome) -> None:
        """The stream is whole. Nothing follows."""

    def whole(self, begun: Begun, body: bytes, outcome: Outcome) -> None:
        """There is an answer, and this is all of it."""

    def failed(self, error: LittoralError) -> None:
        """There is no answer, or not all of it. Nothing follows."""
