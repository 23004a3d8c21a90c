"""The driver of Qdrant servers: see `terms.collections.Collections`."""

from collections.abc import Sequence
from threading import Lock
from typing import Final

from qdrant_client import QdrantClient, models

from littoral.adapters.memory.naming import PREFIX, name_on_server
from littoral.adapters.memory.noting import Note
from littoral.adapters.memory.qdrant.link import translated
from littoral.adapters.memory.qdrant.shelf import (
    MAJORITY,
    NOTE,
    ORDERED,
    QdrantShelf,
    note_of,
    noted,
)
from littoral.adapters.memory.served import ServedCollection, check_abilities
from littoral.memory.checking import check_spec
from littoral.memory.marks import (
    NUMBERED,
)
from littoral.terms.errors import (
    ConflictError,
    NotFoundError,
    UnsupportedError,
)
from littoral.terms.memory import (
    Ability,
    CollectionShown,
    CollectionSpec,
    Metric,
    VectorField,
)

__all__ = ["QdrantCollections"]

_ABILITIES: Final = frozenset(
    {
        Ability.SPARSE,
        Ability.FUSED,
        Ability.MULTI,
        Ability.NAMED,
        Ability.GEO,
        Ability.MATCHES,
    }
)


class QdrantCollections:
    """See `terms.collections.Collections`."""

    def __init__(self, client: QdrantClient, *, stand_in: bool = False) -> None:
        """Use this client's server, which is not asked yet.

        Args:
            client: of a server (`connected`), or the client's own stand-in for one.
            stand_in: it is the latter, which has no indexes.
        """
        self._client = client
        self._stand_in = stand_in
        self._opened: dict[str, ServedCollection] = {}
        self._opening = Lock()

    @property
    def abilities(self) -> frozenset[Ability]:
        """Those of Qdrant."""
        return _ABILITIES

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection."""
        check_spec(spec)
        check_abilities(spec, _ABILITIES, "qdrant")
        if any(field.multi and field.metric is Metric.L2 for field in spec.vectors):
            raise UnsupportedError(
                "qdrant does not sum squared distances of many vectors",
                advice="use cosine or dot for the field that keeps many, or another driver",
            )
        name = name_on_server(spec.scope, spec.name)
        with translated():
            if self._client.collection_exists(name):
                raise ConflictError(f"there is a collection {spec.name} already")
            self._client.create_collection(
                name,
                vectors_config={
                    f"v{place}": _params(field) for place, field in enumerate(spec.vectors)
                },
                sparse_vectors_config={
                    f"s{place}": models.SparseVectorParams() for place in range(len(spec.sparse))
                },
            )
            try:
                self._index(name, spec)
                self._client.upsert(name, [noted(spec, 0)], wait=True, ordering=ORDERED)
            except BaseException:
                self._client.delete_collection(name)
                raise

    def drop(self, name: str, scope: str = "") -> None:
        """Forget a collection."""
        self._note(name_on_server(scope, name), name)
        called = name_on_server(scope, name)
        with translated():
            self._client.delete_collection(called)
        with self._opening:
            self._opened.pop(called, None)

    def open(self, name: str, scope: str = "") -> ServedCollection:
        """The collection."""
        called = name_on_server(scope, name)
        spec = self._note(called, name).spec
        with self._opening:
            opened = self._opened.get(called)
            if opened is None or opened.spec != spec:
                opened = ServedCollection(
                    QdrantShelf(spec, self._client, stand_in=self._stand_in), _ABILITIES, "qdrant"
                )
                self._opened[called] = opened
            return opened

    def describe(self) -> Sequence[CollectionShown]:
        """All there are."""
        with translated():
            names = [each.name for each in self._client.get_collections().collections]
        notes = [self._note(each, each) for each in names if each.startswith(PREFIX)]
        return [
            CollectionShown(
                spec=note.spec,
                driver="qdrant",
                records=self.open(note.spec.name, note.spec.scope).count(),
                through=note.through,
                index="graphs (HNSW), as the server makes them",
            )
            for note in sorted(notes, key=lambda each: (each.spec.scope, each.spec.name))
        ]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _index(self, name: str, spec: CollectionSpec) -> None:
        if self._stand_in:
            return
        kinds = models.PayloadSchemaType
        self._client.create_payload_index(name, "marks", field_schema=kinds.KEYWORD, wait=True)
        numbered = [field for field, kind in spec.fields.items() if kind in NUMBERED]
        for place in range(len(numbered)):
            self._client.create_payload_index(
                name, f"n.n{place}", field_schema=kinds.FLOAT, wait=True
            )

    def _note(self, called: str, name: str) -> Note:
        try:
            with translated():
                found = self._client.retrieve(called, [NOTE], consistency=MAJORITY)
        except NotFoundError:
            found = []
        if not found:
            raise NotFoundError(f"there is no collection {name[:128]}")
        return note_of(found[0].payload)


def _params(field: VectorField) -> models.VectorParams:
    """Cosines are dot products (`scoring.prepared`): Qdrant would keep other vectors."""
    euclid = field.metric is Metric.L2
    return models.VectorParams(
        size=field.dimensions,
        distance=models.Distance.EUCLID if euclid else models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
        if field.multi
        else None,
    )
