"""The driver of Pinecone: see `terms.collections.Collections`. The index is the operator's."""

from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Final

from littoral.adapters.memory.naming import name_on_server
from littoral.adapters.memory.noting import described
from littoral.adapters.memory.pinecone.link import translated
from littoral.adapters.memory.pinecone.shelf import Namespace, PineconeShelf, note_of, noted
from littoral.adapters.memory.served import ServedCollection, check_abilities
from littoral.memory.checking import check_spec
from littoral.terms.errors import (
    ConflictError,
    NotFoundError,
    UnsupportedError,
)
from littoral.terms.limits import SERVED_ANSWER_S
from littoral.terms.memory import (
    Ability,
    CollectionShown,
    CollectionSpec,
    Metric,
    VectorField,
)

__all__ = ["PineconeCollections"]

_ABILITIES: Final = frozenset({Ability.FUSED, Ability.GEO, Ability.MATCHES})


class PineconeCollections:
    """See `terms.collections.Collections`."""

    def __init__(self, index: Namespace, *, answer_s: float = SERVED_ANSWER_S) -> None:
        """Use this index, which is not asked yet."""
        self._index = index
        self._answer_s = answer_s
        self._dimensions = 0
        self._opened: dict[str, ServedCollection] = {}
        self._opening = Lock()

    @property
    def abilities(self) -> frozenset[Ability]:
        """Those of a dense index."""
        return _ABILITIES

    def create(self, spec: CollectionSpec) -> None:
        """Make a collection."""
        check_spec(spec)
        check_abilities(spec, _ABILITIES, "pinecone")
        with translated():
            shown = self._index.describe_index_stats()
        for field in spec.vectors:
            _check_index(field, shown.dimension, shown.metric)
        name = name_on_server(spec.scope, spec.name)
        try:
            noted(self._index, name)
        except NotFoundError:
            with translated():
                self._index.upsert(vectors=[note_of(spec, 0, shown.dimension)], namespace=name)
            return
        raise ConflictError(f"there is a collection {spec.name} already")

    def drop(self, name: str, scope: str = "") -> None:
        """Forget a collection."""
        called = name_on_server(scope, name)
        noted(self._index, called, name)
        with translated():
            self._index.delete(delete_all=True, namespace=called)
        with self._opening:
            self._opened.pop(called, None)

    def open(self, name: str, scope: str = "") -> ServedCollection:
        """The collection."""
        called = name_on_server(scope, name)
        spec = noted(self._index, called, name).spec
        with self._opening:
            held = self._opened.get(called)
            if held is None or held.spec != spec:
                if not self._dimensions:
                    with translated():
                        self._dimensions = self._index.describe_index_stats().dimension
                shelf = PineconeShelf(spec, self._index, self._dimensions, self._answer_s)
                held = ServedCollection(shelf, _ABILITIES, "pinecone")
                self._opened[called] = held
            return held

    def describe(self) -> Sequence[CollectionShown]:
        """All there are."""
        with translated():
            names = list(self._index.describe_index_stats().namespaces)
        return described(
            names, partial(noted, self._index), self.open, driver="pinecone", index="Pinecone's own"
        )

    def close(self) -> None:
        """Close the connections."""
        self._index.close()


def _check_index(field: VectorField, dimensions: int | None, metric: str | None) -> None:
    wanted = "euclidean" if field.metric is Metric.L2 else "dotproduct"
    if field.dimensions != dimensions or metric not in {None, wanted}:
        raise UnsupportedError(
            f"the index of Pinecone keeps {dimensions} dimensions and compares by {metric}",
            advice=f"make one for {field.dimensions} dimensions and {wanted}, "
            "and name its host in memory_servers",
        )
