"""What is asked of upstreams, and what whoever asked hears of the answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from littoral.serving.outcome import Outcome
from littoral.terms.errors import LittoralError
from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import EngineInfo, ModelEntry, Passage

__all__ = [
    "PATHS",
    "RERANK",
    "Begun",
    "Errand",
    "Follow",
    "Followed",
    "Listener",
    "Rank",
    "rewritten",
]

RERANK: Final = "rerank"
"""The API of servers that sort passages by how well they answer a question."""

PATHS: Final = {
    "chat.completions": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
    "messages": "/messages",
    RERANK: "/rerank",
}
"""Where each API is, below an upstream's base URL."""

_RAW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STREAM_USAGE: Final = {"include_usage": True}


def rewritten(body: bytes, changed: Mapping[str, object]) -> bytes:
    """A JSON object with some members changed, or taken away by None; the others keep their bytes.

    Raises:
        msgspec.MsgspecError: it is no JSON object.
    """
    members = _RAW.decode(body)
    for name, value in changed.items():
        if value is None:
            members.pop(name, None)
        else:
            members[name] = msgspec.Raw(msgspec.json.encode(value))
    return msgspec.json.encode(members)


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
    passage: Passage | None = None
    """What goes along to another PoP; without it none is asked."""

    def body_for(self, model: str, *, usage: bool) -> bytes:
        """The body, with the name that an upstream has for the model.

        Whatever is not changed keeps its bytes.

        Args:
            model: that name.
            usage: a stream is to end with its usage, though the client did not ask for it.
        """
        if self.untouched and not usage and model == self.model:
            return self.body
        changed: dict[str, object] = {"model": model}
        if self.api == "embeddings":
            changed["stream"] = None  # there are none: what one would get is not said anywhere
        if usage:
            changed["stream_options"] = _STREAM_USAGE
        return rewritten(self.body, changed)


class Followed(Protocol):
    """Hears what becomes of one request that was sent to another PoP."""

    @property
    def why(self) -> str:
        """It was sent there, in words."""

    def began(self) -> None:
        """The stream that answers it has begun."""

    def ended(self) -> None:
        """It is over, whatever became of it. Once."""


Follow = Callable[[Errand, ModelName, PopId], Followed | None]
"""Hears that a request for this model is sent to another PoP."""

Rank = Callable[[Errand, ModelName, int], Sequence[PopId]]
"""The PoPs that may have a request for this model, the best first, by a random number of 64 bits.
Those that it leaves out are not asked, and others than those that can be asked are ignored."""


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
