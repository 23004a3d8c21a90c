"""The driver of Weaviate servers: see `terms.collections.Collections`."""

from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Final

from weaviate.classes.config import Configure, DataType, Property, Tokenization, VectorDistances

from littoral.adapters.memory.naming import name_on_server
from littoral.adapters.memory.noting import described
from littoral.adapters.memory.served import ServedCollection, check_abilities
from littoral.adapters.memory.weaviate.link import Link, translated
from littoral.adapters.memory.weaviate.shelf import (
    WeaviateShelf,
    note_of,
    noted,
    numbered_of,
    put,
)
from littoral.memory.checking import check_spec
from littoral.terms.errors import ConflictError
from littoral.terms.memory import Ability, CollectionShown, CollectionSpec, Metric

__all__ = ["WeaviateCollections"]

_ABILITIES: Final = frozenset({Ability.FUSED, Ability.NAMED, Ability.GEO, Ability.MATCHES})


class WeaviateCollections:
    """See `terms.collections.Collections`."""

    def __init__(self, link: Link) -> None:
        """Use this server, which is not asked yet."""
        self._link = link
        self._opened: dict[str, ServedCollection] = {}
        self._opening = Lock()

    @property
    def abilities(self) -> frozenset[Ability]:
        """Those that are the same in Weaviate as elsewhere."""
        return _ABILITIES

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection."""
        check_spec(spec)
        check_abilities(spec, _ABILITIES, "weaviate")
        name = name_on_server(spec.scope, spec.name)
        collections = self._link.client().collections
        # Without any Weaviate makes one of its own, of which it knows nothing either.
        metrics = [field.metric for field in spec.vectors] or [Metric.DOT]
        with translated():
            if collections.exists(name):
                raise ConflictError(f"there is a collection {spec.name} already")
            collections.create(
                name,
                properties=_properties(spec),
                vector_config=[
                    Configure.Vectors.self_provided(
                        name=f"v{place}",
                        vector_index_config=Configure.VectorIndex.hnsw(
                            distance_metric=VectorDistances.L2_SQUARED
                            if metric is Metric.L2
                            else VectorDistances.DOT
                        ),
                    )
                    for place, metric in enumerate(metrics)
                ],
            )
            try:
                put(self._link, name, [note_of(spec, 0)])
            except BaseException:
                collections.delete(name)
                raise

    def drop(self, name: str, scope: str = "") -> None:
        """Forget a collection."""
        called = name_on_server(scope, name)
        noted(self._link, called, name)
        with translated():
            self._link.client().collections.delete(called)
        with self._opening:
            self._opened.pop(called, None)

    def open(self, name: str, scope: str = "") -> ServedCollection:
        """The collection."""
        called = name_on_server(scope, name)
        spec = noted(self._link, called, name).spec
        with self._opening:
            held = self._opened.get(called)
            if held is None or held.spec != spec:
                held = ServedCollection(WeaviateShelf(spec, self._link), _ABILITIES, "weaviate")
                self._opened[called] = held
            return held

    def describe(self) -> Sequence[CollectionShown]:
        """All there are."""
        with translated():
            names = list(self._link.client().collections.list_all(simple=True))
        return described(
            names,
            partial(noted, self._link),
            self.open,
            driver="weaviate",
            index="graphs (HNSW), as the server makes them",
        )

    def close(self) -> None:
        """Close the connections."""
        self._link.close()


def _properties(spec: CollectionSpec) -> list[Property]:
    properties = [
        _text("record", DataType.TEXT, filterable=True),
        _text("body", DataType.TEXT, filterable=False),
        _text("marks", DataType.TEXT_ARRAY, filterable=True),
    ]
    for place in numbered_of(spec).values():
        properties += [
            Property(name=f"{end}{place}", data_type=DataType.NUMBER, index_filterable=True)
            for end in ("l", "g")
        ]
    return properties


def _text(name: str, kind: DataType, *, filterable: bool) -> Property:
    """Compared as a whole."""
    return Property(
        name=name,
        data_type=kind,
        tokenization=Tokenization.FIELD,
        index_searchable=False,
        index_filterable=filterable,
    )
