"""The driver of Milvus servers: see `terms.collections.Collections`.

Our note of what a collection is, is Milvus's description of it. Each has one shard, since the
records that a PoP keeps fit into one.
"""

from collections.abc import Sequence
from threading import Lock
from typing import Final

import msgspec
from pymilvus import MilvusClient

from littoral.adapters.memory.milvus.link import translated
from littoral.adapters.memory.milvus.shelf import MilvusShelf, index_of, schema_of
from littoral.adapters.memory.naming import PREFIX, name_on_server
from littoral.adapters.memory.served import ServedCollection, check_abilities
from littoral.memory.checking import check_spec
from littoral.terms.errors import ConflictError, NotFoundError
from littoral.terms.limits import SERVED_ANSWER_S, SERVED_CONNECT_S
from littoral.terms.memory import Ability, CollectionShown, CollectionSpec

__all__ = ["MilvusCollections"]

_ABILITIES: Final = frozenset({Ability.FUSED, Ability.GEO, Ability.MATCHES})
_decode: Final = msgspec.json.Decoder(CollectionSpec).decode


class MilvusCollections:
    """See `terms.collections.Collections`."""

    def __init__(self, address: str, token: str, *, answer_s: float = SERVED_ANSWER_S) -> None:
        """Use this server, which is not asked yet.

        Args:
            address: as in `http://HOST:19530`.
            token: `USER:PASSWORD` or an API key, or empty.
            answer_s: how long one answer may take.
        """
        self.address = address
        self._token = token
        self._answer_s = answer_s
        self._connected: MilvusClient | None = None
        self._opened: dict[str, tuple[int, ServedCollection]] = {}
        self._opening = Lock()

    @property
    def abilities(self) -> frozenset[Ability]:
        """Those of Milvus 2.3."""
        return _ABILITIES

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection."""
        check_spec(spec)
        check_abilities(spec, _ABILITIES, "milvus")
        name = name_on_server(spec.scope, spec.name)
        client = self._client()
        with translated(self._answer_s):
            if client.has_collection(name, timeout=self._answer_s):
                raise ConflictError(f"there is a collection {spec.name} already")
            client.create_collection(
                name,
                schema=schema_of(client, spec, msgspec.json.encode(spec).decode()),
                consistency_level="Strong",
                num_shards=1,
                timeout=self._answer_s,
            )
            try:
                client.create_index(name, index_of(client, spec), timeout=self._answer_s)
                client.load_collection(name, timeout=self._answer_s)
            except BaseException:
                client.drop_collection(name, timeout=self._answer_s)
                raise

    def drop(self, name: str, scope: str = "") -> None:
        """Forget a collection."""
        self._described(name, scope)
        called = name_on_server(scope, name)
        with translated(self._answer_s):
            self._client().drop_collection(called, timeout=self._answer_s)
        with self._opening:
            self._opened.pop(called, None)

    def open(self, name: str, scope: str = "") -> ServedCollection:
        """The collection."""
        number, spec = self._described(name, scope)
        called = name_on_server(scope, name)
        with self._opening:
            opened = self._opened.get(called)
            if opened is None or opened[0] != number:
                client = self._connected_client()
                with translated(self._answer_s):
                    state = client.get_load_state(called, timeout=self._answer_s)
                    if str(state.get("state")) != "Loaded":
                        client.load_collection(called, timeout=self._answer_s)
                shelf = MilvusShelf(spec, client, self._answer_s)
                opened = number, ServedCollection(shelf, _ABILITIES, "milvus")
                self._opened[called] = opened
            return opened[1]

    def describe(self) -> Sequence[CollectionShown]:
        """All there are."""
        with translated(self._answer_s):
            names = self._client().list_collections(timeout=self._answer_s)
        specs = [self._read(each)[1] for each in names if each.startswith(PREFIX)]
        shown = []
        for spec in sorted(specs, key=lambda each: (each.scope, each.name)):
            collection = self.open(spec.name, spec.scope)
            shown.append(
                CollectionShown(
                    spec=spec,
                    driver="milvus",
                    records=collection.count(),
                    through=collection.through(),
                    index="none: every vector is compared",
                )
            )
        return shown

    def close(self) -> None:
        """Close the connection."""
        with self._opening:
            if self._connected is not None:
                self._connected.close()
                self._connected = None

    def _client(self) -> MilvusClient:
        with self._opening:
            return self._connected_client()

    def _connected_client(self) -> MilvusClient:
        if self._connected is None:
            with translated(SERVED_CONNECT_S):
                self._connected = MilvusClient(
                    uri=self.address, token=self._token, timeout=SERVED_CONNECT_S
                )
        return self._connected

    def _described(self, name: str, scope: str) -> tuple[int, CollectionSpec]:
        try:
            return self._read(name_on_server(scope, name))
        except NotFoundError:
            raise NotFoundError(f"there is no collection {name[:128]}") from None

    def _read(self, called: str) -> tuple[int, CollectionSpec]:
        """A number of the server's own, and our note."""
        with translated(self._answer_s):
            found = self._client().describe_collection(called, timeout=self._answer_s)
        spec = _decode(found["description"])
        return int(found["collection_id"]), spec
