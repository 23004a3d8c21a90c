"""Random operations in Qdrant's words: what a client may do, with any of its forms."""

import random
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from qdrant_client import AsyncQdrantClient
from qdrant_client import models as m

__all__ = ["NAME", "Chances", "Operation", "make"]

NAME = "points"
SIZES = {"": 4, "dot": 5, "far": 3}
WORDS = ("harbour", "tide", "lighthouse", "net", "gull", "storm")
UUIDS = tuple(str(uuid.UUID(int=number * 7919 << 64 | number)) for number in range(1, 9))

KINDS = (
    *("upsert 12", "upsert_batch 3", "delete 3", "set_payload 4", "overwrite 2", "clear 1"),
    *("delete_payload 3", "update_vectors 4", "delete_vectors 2", "batch 3", "retrieve 6"),
    *("scroll 10", "count 10", "nearest 20", "alike 6", "fused 6", "chosen 4", "groups 4"),
    *("recommended 3", "any 2", "several 2"),
)
"""What is done, and how often beside the others."""

VECTORS_WANTED: tuple[bool | list[str], ...] = (True, False, ["far", "sparse"])

Operation = Callable[[AsyncQdrantClient], Awaitable[object]]


async def make(client: AsyncQdrantClient) -> None:
    await client.create_collection(
        NAME,
        vectors_config={
            "": m.VectorParams(size=4, distance=m.Distance.COSINE),
            "dot": m.VectorParams(size=5, distance=m.Distance.DOT),
            "far": m.VectorParams(size=3, distance=m.Distance.EUCLID),
            "many": m.VectorParams(
                size=2,
                distance=m.Distance.COSINE,
                multivector_config=m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={"sparse": m.SparseVectorParams()},
    )


class Chances:
    """Makes operations; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def operation(self) -> tuple[str, Operation]:
        """One of all that can be done, and its name."""
        kinds = [kind.split() for kind in KINDS]
        weights = [int(weight) for _, weight in kinds]
        ((name, _),) = self.random.choices(kinds, weights)
        made: Operation = getattr(self, f"_{name}")()
        return name, made

    def numbers(self, size: int) -> list[float]:
        return [self.random.gauss(0, 1) for _ in range(size)]

    def vector(self, name: str) -> Any:
        if name == "sparse":
            indices = self.random.sample(range(12), self.random.randint(1, 5))
            return m.SparseVector(
                indices=indices, values=[self.random.uniform(0.1, 2) for _ in indices]
            )
        if name == "many":
            return [self.numbers(2) for _ in range(self.random.randint(1, 3))]
        return self.numbers(SIZES[name])

    def id(self) -> int | str:
        if self.random.random() < 0.2:
            return self.random.choice(UUIDS)
        return self.random.randrange(40)

    def ids(self) -> list[Any]:
        return list(dict.fromkeys(self.id() for _ in range(self.random.randint(1, 5))))

    def field_name(self) -> str:
        return self.random.choice(["", "dot", "far", "many", "sparse"])

    def payload(self) -> dict[str, object]:
        chance = self.random
        every: dict[str, object] = {
            "n": chance.randrange(10),
            "share": chance.randrange(1000) / 1000 + 0.0005,
            "word": chance.choice(WORDS),
            "flag": chance.random() < 0.5,
            "tags": chance.sample(WORDS, chance.randint(0, 3)),
            "when": f"2026-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}T10:00:00Z",
            "at": {"lat": chance.uniform(-60, 60), "lon": chance.uniform(-170, 170)},
            "deep": {"x": chance.randrange(5), "list": [{"y": 1}, {"y": chance.randrange(3)}]},
            "text": " ".join(chance.choices(WORDS, k=4)).capitalize() + ".",
            "maybe": None,
        }
        kept = chance.sample(sorted(every), chance.randint(2, len(every)))
        return {name: every[name] for name in kept}

    def point(self) -> m.PointStruct:
        vectors = {
            name: self.vector(name)
            for name in ("", "dot", "far", "many", "sparse")
            if self.random.random() < 0.8
        }
        return m.PointStruct(
            id=self.id(),
            vector=vectors,
            payload=self.payload() if self.random.random() < 0.9 else None,
        )

    def condition(self, depth: int = 0) -> m.Condition:
        chance = self.random
        made: list[Callable[[], m.Condition]] = [
            lambda: m.FieldCondition(key="n", match=m.MatchValue(value=chance.randrange(10))),
            lambda: m.FieldCondition(key="word", match=m.MatchValue(value=chance.choice(WORDS))),
            lambda: m.FieldCondition(key="flag", match=m.MatchValue(value=chance.random() < 0.5)),
            lambda: m.FieldCondition(key="tags", match=m.MatchAny(any=chance.sample(WORDS, 2))),
            lambda: m.FieldCondition(
                key="n", match=m.MatchExcept(**{"except": chance.sample(range(10), 4)})
            ),
            lambda: m.FieldCondition(key="text", match=m.MatchText(text=chance.choice(WORDS))),
            lambda: m.FieldCondition(
                key="text", match=m.MatchTextAny(text_any=" ".join(chance.sample(WORDS, 2)))
            ),
            lambda: m.FieldCondition(
                key="share", range=m.Range(gte=chance.random(), lt=chance.uniform(0.5, 1))
            ),
            lambda: m.FieldCondition(
                key="when",
                range=m.DatetimeRange(gt=datetime(2026, chance.randint(1, 12), 3, tzinfo=UTC)),
            ),
            lambda: m.FieldCondition(
                key="at",
                geo_radius=m.GeoRadius(center=m.GeoPoint(lat=10, lon=20), radius=6_000_000),
            ),
            lambda: m.FieldCondition(key="deep.x", range=m.Range(gt=chance.randrange(4))),
            lambda: m.FieldCondition(key="deep.list[].y", match=m.MatchValue(value=2)),
            lambda: m.IsEmptyCondition(
                is_empty=m.PayloadField(key=chance.choice(["tags", "maybe", "deep.x"]))
            ),
            lambda: m.HasIdCondition(has_id=self.ids()),
        ]
        if depth < 2 and chance.random() < 0.2:
            return self.filter(depth + 1)
        return chance.choice(made)()

    def filter(self, depth: int = 0) -> m.Filter:
        chance = self.random

        def some() -> list[m.Condition] | None:
            if chance.random() < 0.5:
                return None
            return [self.condition(depth) for _ in range(chance.randint(1, 2))]

        least = None
        if chance.random() < 0.15:
            conditions = [self.condition(depth) for _ in range(3)]
            least = m.MinShould(conditions=conditions, min_count=chance.randint(1, 3))
        return m.Filter(must=some(), should=some(), must_not=some(), min_should=least)

    def maybe_filter(self) -> m.Filter | None:
        return self.filter() if self.random.random() < 0.5 else None

    def selector(self) -> Any:
        if self.random.random() < 0.7:
            return self.ids()
        return m.Filter(must=[self.condition()])

    def selection(self) -> Any:
        return self.random.choice(
            [
                True,
                True,
                False,
                ["n", "deep.x"],
                m.PayloadSelectorExclude(exclude=["text", "deep.x"]),
            ]
        )

    def _upsert(self) -> Operation:
        points = [self.point() for _ in range(self.random.randint(1, 5))]
        return lambda client: client.upsert(NAME, points)

    def _upsert_batch(self) -> Operation:
        ids = self.ids()
        batch = m.Batch(
            ids=ids,
            vectors={name: [self.numbers(size) for _ in ids] for name, size in SIZES.items()},
            payloads=[self.payload() for _ in ids],
        )
        return lambda client: client.upsert(NAME, batch)

    def _delete(self) -> Operation:
        chosen = self.ids()[:2]
        if self.random.random() < 0.3:
            rare = m.FieldCondition(key="n", match=m.MatchValue(value=self.random.randrange(10)))
            where = m.Filter(must=[rare, self.condition()])
            return lambda client: client.delete(NAME, m.FilterSelector(filter=where))
        return lambda client: client.delete(NAME, m.PointIdsList(points=chosen))

    def _set_payload(self) -> Operation:
        payload, points = self.payload(), self.selector()
        return lambda client: client.set_payload(NAME, payload, points=points)

    def _overwrite(self) -> Operation:
        payload, points = self.payload(), self.selector()
        return lambda client: client.overwrite_payload(NAME, payload, points=points)

    def _delete_payload(self) -> Operation:
        keys, points = self.random.sample(["n", "tags", "deep", "text"], 2), self.selector()
        return lambda client: client.delete_payload(NAME, keys, points=points)

    def _clear(self) -> Operation:
        points = self.ids()[:1]
        return lambda client: client.clear_payload(NAME, points)

    def _update_vectors(self) -> Operation:
        name = self.field_name()
        points = [m.PointVectors(id=each, vector={name: self.vector(name)}) for each in self.ids()]
        return lambda client: client.update_vectors(NAME, points)

    def _delete_vectors(self) -> Operation:
        names, points = [self.field_name()], self.ids()
        return lambda client: client.delete_vectors(NAME, names, points)

    def _batch(self) -> Operation:
        points = [self.point() for _ in range(2)]
        ids = [point.id for point in points]
        where = m.Filter(must=[self.condition()])
        operations: list[Any] = [
            m.UpsertOperation(upsert=m.PointsList(points=points)),
            m.SetPayloadOperation(set_payload=m.SetPayload(payload={"n": 3}, points=ids)),
            m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=["word"], filter=where)),
            m.DeleteOperation(delete=m.PointIdsList(points=ids[:1])),
        ]
        return lambda client: client.batch_update_points(NAME, operations)

    def _retrieve(self) -> Operation:
        ids, payload = self.ids(), self.selection()
        return lambda client: client.retrieve(NAME, ids, with_payload=payload, with_vectors=True)

    def _scroll(self) -> Operation:
        where, limit = self.maybe_filter(), self.random.randint(1, 20)
        offset = self.id() if self.random.random() < 0.5 else None
        payload = self.selection()
        return lambda client: client.scroll(
            NAME,
            where,
            limit=limit,
            offset=offset,
            with_payload=payload,
            with_vectors=["dot"],
        )

    def _count(self) -> Operation:
        where = self.filter()
        return lambda client: client.count(NAME, where)

    def _query(self, name: str) -> m.QueryRequest:
        chance = self.random
        threshold = None
        if chance.random() < 0.3:
            threshold = chance.uniform(0, 2)
        return m.QueryRequest(
            query=self.vector(name),
            using=name or None,
            filter=self.maybe_filter(),
            limit=chance.randint(1, 12),
            offset=chance.choice([None, None, 1, 3]),
            score_threshold=threshold,
            with_payload=self.selection(),
            with_vector=self.random.choice(VECTORS_WANTED),
        )

    def _nearest(self) -> Operation:
        asked = self._query(self.field_name())
        return lambda client: client.query_points(
            NAME,
            query=asked.query,
            using=asked.using,
            query_filter=asked.filter,
            limit=asked.limit or 10,
            offset=asked.offset,
            score_threshold=asked.score_threshold,
            with_payload=asked.with_payload or False,
            with_vectors=asked.with_vector or False,
        )

    def _several(self) -> Operation:
        asked = [self._query(self.field_name()) for _ in range(3)]
        return lambda client: client.query_batch_points(NAME, asked)

    def _alike(self) -> Operation:
        point, name, where = self.id(), self.field_name(), self.maybe_filter()
        return lambda client: client.query_points(
            NAME, query=point, using=name or None, query_filter=where, limit=5
        )

    def _prefetch(self, name: str) -> m.Prefetch:
        threshold = 0.3 if name != "far" and self.random.random() < 0.2 else None
        return m.Prefetch(
            query=self.vector(name),
            using=name or None,
            limit=self.random.randint(2, 15),
            filter=m.Filter(must=[self.condition()]) if self.random.random() < 0.3 else None,
            score_threshold=threshold,
        )

    def _fused(self) -> Operation:
        prefetch = [
            self._prefetch(name) for name in self.random.sample(["", "dot", "far", "sparse"], 2)
        ]
        query: m.Query = m.FusionQuery(fusion=m.Fusion.RRF)
        if self.random.random() < 0.5:
            query = m.RrfQuery(rrf=m.Rrf(k=self.random.randint(1, 60)))
        return lambda client: client.query_points(NAME, prefetch=prefetch, query=query, limit=8)

    def _chosen(self) -> Operation:
        prefetch, query = self._prefetch("dot"), self.numbers(4)
        return lambda client: client.query_points(NAME, prefetch=prefetch, query=query, limit=5)

    def _groups(self) -> Operation:
        query, where = self.numbers(4), self.maybe_filter()
        field = self.random.choice(["word", "n", "tags", "deep.x"])
        limit, size = self.random.randint(1, 4), self.random.randint(1, 3)
        return lambda client: client.query_points_groups(
            NAME, field, query=query, query_filter=where, limit=limit, group_size=size
        )

    def _recommended(self) -> Operation:
        liked, disliked = self.ids()[:2], self.ids()[:1]
        query = m.RecommendQuery(recommend=m.RecommendInput(positive=liked, negative=disliked))
        return lambda client: client.query_points(NAME, query=query, limit=5)

    def _any(self) -> Operation:
        where = self.maybe_filter()
        return lambda client: client.query_points(NAME, query_filter=where, limit=7)
