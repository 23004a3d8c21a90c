"""Memory in the way of a hot request: what its answer is to be made from, before the cache's turn.

So the cache's key covers what was found: once a passage has changed or vanished, the same request
is another question, and an answer from what was there before is not given again.
"""

import re
from collections.abc import Mapping

import msgspec

from littoral.node.relay.desk import Desk, Order
from littoral.node.relay.keeping import Keeping, Question
from littoral.node.sourcing import Sourcing
from littoral.terms.errors import LittoralError, NotFoundError
from littoral.terms.values import Kind, ModelEntry
from littoral.web.dialects.remembering import FILE_SEARCH, memory_of
from littoral.web.head import Head

__all__ = ["Look", "Remembering", "asks_for_memory"]

_SEARCH = f'"{FILE_SEARCH}"'.encode()
_ESCAPE = b"\\u00"
_LETTER = re.compile(rb"\\u00(?:5f|[67][0-9a-f])", re.IGNORECASE)
"""One of a tool's name, spelled as an escape."""


def asks_for_memory(order: Order) -> bool:
    """Whether a request may be one that wants something of memory, however it is spelled.

    Whatever the APIs' dialects take for one has to be one here: else the cache's key would not say
    what its answer is made from.
    """
    if order.api.kind is not Kind.CHAT:
        return False
    if order.wish.wants_memory:
        return True
    raw = order.raw
    if raw.find(_SEARCH) >= 0:
        return True
    return raw.rfind(_ESCAPE) >= 0 and _LETTER.search(raw) is not None


class Look:
    """One look into memory for one request."""

    def __init__(self, sourcing: Sourcing, desk: Desk, order: Order, entry: ModelEntry) -> None:
        self._sourcing = sourcing
        self._desk = desk
        self._order = order
        self._entry = entry
        self._error: LittoralError | None = None

    async def run(self) -> None:
        """Look; the order has the sources then, if it wants any."""
        order = self._order
        order.looked = True
        try:
            body = _body(order.raw)
            wanted = None if body is None else memory_of(body)
            if body is not None and wanted is not None:
                order.sources = await self._sourcing.sources(
                    wanted, body, order.raw, self._entry, order.caller
                )
        except NotFoundError as error:
            # Of an upstream that has the tool itself they may be its own vector stores.
            theirs = not order.wish.wants_memory and _has_search(self._entry)
            self._error = None if theirs else error
        except LittoralError as error:
            self._error = error

    def question(self, keeping: Keeping | None, head: Head) -> Question | None:
        """What to ask the cache, once it is known what the answer is to be made from.

        Raises:
            LittoralError: what went wrong, which is to be told to the client.
        """
        if self._error is not None:
            self._desk.refused(self._order, self._error)
            raise self._error
        return None if keeping is None else keeping.question(self._order, self._entry, head)


class Remembering:
    """Looks into memory for the relay."""

    def __init__(self, sourcing: Sourcing, desk: Desk) -> None:
        self._sourcing = sourcing
        self._desk = desk

    def look(self, order: Order, entry: ModelEntry) -> Look:
        """One that has yet to run."""
        return Look(self._sourcing, self._desk, order, entry)


def _has_search(entry: ModelEntry) -> bool:
    targets = entry.upstreams
    return bool(targets) and all("responses" in target.apis for target in targets)


def _body(raw: bytes) -> Mapping[str, object] | None:
    """The request; None where the API's own dialect says what is wrong with it."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    return {name: value for name, value in body.items() if value is not None}
