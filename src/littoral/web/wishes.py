"""What the hot path reads of a request: a few members of the body, and nothing of the rest.

Rules
- What a body may cost whoever reads it next is bounded here as everywhere (reading.py).
- A body that is odd in any way (a member missing, of the wrong type, not JSON) is nobody's wish:
  the API's own dialect then says what is wrong with it.
- `is_plain` says that every reader must see the same in the bytes: no member that decides anything
  comes twice, and no name is spelled with escapes. Else the bytes are written anew.
"""

import re
from typing import Final

import msgspec

from littoral.terms.values import Kind
from littoral.web.dialects.reading import check_bounds

__all__ = ["HOT_APIS", "HotApi", "Wish", "is_plain", "wish_of"]


class HotApi(msgspec.Struct, frozen=True):
    """One API of the hot path."""

    name: str
    """As in `Ask.api`."""
    kind: Kind
    takes_usage: bool = False
    """Its streams end with their usage if `stream_options` asks for it."""


HOT_APIS: Final = {
    "/v1/chat/completions": HotApi("chat.completions", Kind.CHAT, takes_usage=True),
    "/v1/completions": HotApi("completions", Kind.COMPLETE, takes_usage=True),
    "/v1/embeddings": HotApi("embeddings", Kind.EMBED),
    "/v1/responses": HotApi("responses", Kind.CHAT),
    "/v1/messages": HotApi("messages", Kind.CHAT),
}
"""By path."""


_NOTHING: Final = msgspec.Raw()


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Wish(msgspec.Struct):
    """The members that routing, limits, the cache and the receipt need."""

    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    memory: msgspec.Raw = _NOTHING
    """What is to be recalled for it; its bytes, unread."""

    @property
    def wants_memory(self) -> bool:
        """Whether anything is to be recalled."""
        return self.memory is not _NOTHING and bytes(self.memory) not in {b"", b"null"}

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked for the usage at the end of a stream."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    @property
    def tokens_max(self) -> int | None:
        """Most tokens that one choice may have, if the client said so."""
        return self.max_completion_tokens or self.max_tokens or self.max_output_tokens


_DECODE: Final = msgspec.json.Decoder(Wish).decode
_DECIDES: Final = re.compile(
    rb'"(model|stream|stream_options|messages|input|prompt|system|tools|temperature|seed|n'
    rb'|max_tokens|max_completion_tokens|max_output_tokens)"\s*:'
)


def wish_of(raw: bytes) -> Wish | None:
    """What a body asks for, or None when it must be looked at more closely.

    Raises:
        BadRequestError: it would cost too much to read, or is not UTF-8.
    """
    check_bounds(raw)
    try:
        return _DECODE(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def is_plain(raw: bytes) -> bool:
    """Whether each member that decides anything is there at most once, in plain spelling."""
    if raw.rfind(b"\\u") >= 0:  # `in` takes five times as long to say no
        return False
    names = _DECIDES.findall(raw)
    return len(names) == len(set(names))
