"""Namespaces of an index: parts of one collection that do not see each other.

A record of a namespace has the namespace's name twice: in its id, so that equal ids of two
namespaces are two records and each namespace is one run in the order of ids; and in a field of its
metadata, so that it can be filtered by before anything is ranked. Pinecone's clients see neither.

The default namespace, `""` or `__default__`, adds nothing to ids: whatever other doors have put
into the collection is in it.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from littoral.memory.filters import both
from littoral.terms.collections import OpenCollection
from littoral.terms.errors import BadRequestError
from littoral.terms.filters import Filter, Has, Is, Not
from littoral.terms.memory import Record, Scan
from littoral.web.order import before

__all__ = ["DEFAULT", "FIELD", "Namespace", "named", "namespaces_of"]

FIELD: Final = "_namespace"
"""The field of the metadata that has the namespace's name."""

DEFAULT: Final = "__default__"
"""The name that the default namespace is listed by."""

_MARK: Final = "\x1f"
"""Stands before and after the namespace's name in an id; no id of a client has it."""
_BEYOND: Final = _MARK + "\U0010ffff" * 4
"""Comes after the ids of all namespaces but the default one."""
_NAME_BYTES_MAX: Final = 384
"""So that ids of 126 bytes fit beside the longest name."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One of them."""

    name: str
    """Empty is the default one."""

    def record_id(self, vector_id: str) -> str:
        """The id of the record that a vector is.

        Raises:
            BadRequestError: it can't be one.
        """
        if not vector_id or not vector_id.isprintable():
            raise BadRequestError(
                "the id of a vector is empty or has characters that can't be printed", param="id"
            )
        return self._start() + vector_id

    def vector_id(self, record_id: str) -> str:
        """The id of the vector that a record is."""
        return record_id[len(self._start()) :]

    def has(self, record_id: str) -> bool:
        """Whether a record is in it."""
        start = self._start()
        return record_id.startswith(start) if start else not record_id.startswith(_MARK)

    @property
    def where(self) -> Filter:
        """The records of it."""
        return Is(FIELD, (self.name,)) if self.name else Not(Has(FIELD))

    def marked(self, metadata: Mapping[str, object]) -> Mapping[str, object]:
        """The metadata of a record in it.

        Raises:
            BadRequestError: it has a name that is not for clients.
        """
        if FIELD in metadata or any(name.startswith("$") for name in metadata):
            raise BadRequestError(
                f"a name of the metadata begins with $ or is {FIELD}",
                advice="choose another: these are not kept for you",
                param="metadata",
            )
        return {**metadata, FIELD: self.name} if self.name else metadata

    def after(self, prefix: str = "") -> str:
        """What a scan goes on after, to begin with the first of it whose id begins so."""
        start = self._start() + prefix
        return before(start) if start else _BEYOND

    async def count(self, opened: OpenCollection, where: Filter | None = None) -> int:
        """How many records of it there are, or match."""
        if self.name:
            return await opened.count(both(where, self.where))
        others = await opened.count(both(where, Has(FIELD)))
        return await opened.count(where) - others

    def _start(self) -> str:
        return f"{_MARK}{self.name}{_MARK}" if self.name else ""


def named(said: str | None) -> Namespace:
    """The namespace that is meant.

    Raises:
        BadRequestError: it can't be one.
    """
    if not said or said == DEFAULT:
        return Namespace("")
    if not said.isprintable() or len(said.encode()) > _NAME_BYTES_MAX:
        raise BadRequestError(
            f"{said[:40]!r} can't be a namespace",
            advice=f"have at most {_NAME_BYTES_MAX} bytes that can be printed",
            param="namespace",
        )
    return Namespace(said)


async def namespaces_of(
    opened: OpenCollection, prefix: str = "", following: str = ""
) -> AsyncIterator[Namespace]:
    """Those that have records, the default one first; each costs one look at the collection.

    Args:
        opened: the collection.
        prefix: what their names begin with.
        following: begin with the one after that of this name.
    """
    is_default = not prefix or DEFAULT.startswith(prefix)
    if not following and is_default and await _next(opened, _BEYOND) is not None:
        yield Namespace("")
    after = before(_MARK + prefix)
    if following and following != DEFAULT:
        after = max(after, _behind(following))
    while (record := await _next(opened, after)) is not None:
        if not record.id.startswith(_MARK + prefix):
            return
        name = record.id[1:].partition(_MARK)[0]
        yield Namespace(name)
        after = _behind(name)


def _behind(name: str) -> str:
    """Comes after all ids of a namespace: a space is the first character beyond the mark."""
    return f"{_MARK}{name} "


async def _next(opened: OpenCollection, after: str) -> Record | None:
    records = (await opened.scan(Scan(after=after, limit=1))).records
    return records[0] if records else None
