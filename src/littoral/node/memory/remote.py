"""A collection of a PoP that is asked over HTTP, as its operator: `OpenCollection` from outside."""

from collections.abc import Sequence
from urllib.parse import quote

from littoral.node.asking import PopClient
from littoral.terms.filters import Filter
from littoral.terms.memory import (
    Applied,
    CollectionShown,
    CollectionSpec,
    Found,
    Page,
    Record,
    Scan,
    Search,
    Write,
)
from littoral.web.memory.native import MEMORY, Counted, Fetch, Fetched, ToCount, Writes

__all__ = ["Remote", "remote_collection"]


async def remote_collection(client: PopClient, name: str) -> "Remote":
    """The collection of this name.

    Raises:
        NotFoundError: there is none.
        UpstreamFailedError: the PoP broke off; as everything here.
    """
    path = f"{MEMORY}/{quote(name, safe='')}"
    return Remote(client, path, (await client.get(path, CollectionShown)).spec)


class Remote:
    """See `terms.collections.OpenCollection`. Vectors travel as base64, and texts without them."""

    def __init__(self, client: PopClient, path: str, spec: CollectionSpec) -> None:
        self._client = client
        self._path = path
        self._spec = spec

    @property
    def spec(self) -> CollectionSpec:
        """What it is."""
        return self._spec

    async def apply(self, writes: Sequence[Write]) -> Applied:
        """Make these changes; texts are embedded there."""
        return await self._client.post(f"{self._path}/write", Writes(tuple(writes)), Applied)

    async def search(self, search: Search) -> Found:
        """The best records."""
        return await self._client.post(f"{self._path}/search", search, Found)

    async def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[Record]:
        """Those that are there."""
        wanted = Fetch(tuple(ids), with_vectors)
        return (await self._client.post(f"{self._path}/fetch", wanted, Fetched)).records

    async def scan(self, scan: Scan) -> Page:
        """Records in the order of their ids."""
        return await self._client.post(f"{self._path}/scan", scan, Page)

    async def count(self, where: Filter | None = None) -> int:
        """How many there are, or match."""
        return (await self._client.post(f"{self._path}/count", ToCount(where), Counted)).count
