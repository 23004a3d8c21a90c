"""Embedded vector engines, each behind the same three calls; bench/peers/vectors.py runs one.

Each is used by its own Python interface as its documentation shows. Graphs have 16 links and 128
candidates while they are built, or the nearest that an engine has; each vector has its text beside
it, and two indexed numbers to filter by.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = ["BATCH", "COUNT", "ENGINES", "WANTED", "Array", "Engine", "parts"]

COUNT = 10
WANTED = {10: 3, 100: 7}
"""Of a filter that keeps one in so many: the remainder that is kept."""
GRAPH_LINKS, GRAPH_EFFORT = 16, 128
EFFORTS = (24, 48, 96, 192, 400, 800)
BATCH = 1_000

Array = Any


class Engine(Protocol):
    """What is measured."""

    efforts: Sequence[int]

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Take everything in."""

    def build(self) -> None:
        """Make the index."""

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest; of one in `share`, unless it is 0."""


def parts(count: int) -> Iterator[range]:
    """Numbers of rows, some together."""
    for begin in range(0, count, BATCH):
        yield range(begin, min(begin + BATCH, count))


class Zvec:
    """A graph in a library."""

    efforts = EFFORTS

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.zvec: Any = import_module("zvec")
        z = self.zvec
        z.init(log_level=z.LogLevel.ERROR)
        number = z.DataType.INT32
        fields = [
            z.FieldSchema("t", z.DataType.STRING),
            *(z.FieldSchema(f"b{n}", number, index_param=z.InvertIndexParam()) for n in WANTED),
        ]
        graph = z.HnswIndexParam(
            metric_type=z.MetricType.COSINE, m=GRAPH_LINKS, ef_construction=GRAPH_EFFORT
        )
        vector = z.VectorSchema("v", z.DataType.VECTOR_FP32, dimensions, index_param=graph)
        schema = z.CollectionSchema(name="c", fields=fields, vectors=vector)
        self.collection = z.create_and_open(str(folder / "zvec"), schema)

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Take everything in."""
        for part in parts(len(vectors)):
            rows = []
            for i in part:
                fields = {"t": texts[i], "b10": i % 10, "b100": i % 100}
                vector = {"v": vectors[i].tolist()}
                rows.append(self.zvec.Doc(id=str(i), vectors=vector, fields=fields))
            self.collection.insert(rows)
        self.collection.flush()

    def build(self) -> None:
        """Make the index."""
        self.collection.optimize()

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest."""
        asked = self.zvec.Query(
            field_name="v", vector=query.tolist(), param=self.zvec.HnswQueryParam(ef=effort)
        )
        where = f"b{share} = {WANTED[share]}" if share else None
        found = self.collection.query(asked, topk=COUNT, filter=where, output_fields=[])
        return [int(each.id) for each in found]


class QdrantEdge:
    """Qdrant's segments in a library."""

    efforts = EFFORTS

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.edge: Any = import_module("qdrant_edge")
        e = self.edge
        home = folder / "qdrant"
        home.mkdir()
        config = e.EdgeConfig(
            vectors={"": e.EdgeVectorParams(size=dimensions, distance=e.Distance.Cosine)},
            hnsw_config=e.HnswIndexConfig(
                m=GRAPH_LINKS, ef_construct=GRAPH_EFFORT, full_scan_threshold=2_000
            ),
        )
        self.shard = e.EdgeShard.create(str(home), config)
        self.filters = {
            n: e.Filter(must=[e.FieldCondition(f"b{n}", match=e.MatchValue(value))])
            for n, value in WANTED.items()
        }

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Take everything in."""
        change = self.edge.UpdateOperation
        for part in parts(len(vectors)):
            points = []
            for i in part:
                fields = {"t": texts[i], "b10": i % 10, "b100": i % 100}
                points.append(self.edge.Point(i, vectors[i].tolist(), fields))
            self.shard.update(change.upsert_points(points))
        for n in WANTED:
            kind = self.edge.PayloadSchemaType.Integer
            self.shard.update(change.create_field_index(f"b{n}", kind))
        self.shard.flush()

    def build(self) -> None:
        """Make the index."""
        self.shard.optimize()

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest."""
        asked = self.edge.QueryRequest(
            limit=COUNT,
            query=self.edge.Query.Nearest(query.tolist()),
            filter=self.filters.get(share),
            params=self.edge.SearchParams(hnsw_ef=effort),
            with_payload=False,
        )
        return [each.id for each in self.shard.query(asked)]


class LanceDb:
    """Columns on disk, a graph over 8-bit vectors."""

    efforts = EFFORTS

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.arrow: Any = import_module("pyarrow")
        a = self.arrow
        database: Any = import_module("lancedb").connect(str(folder / "lance"))
        self.dimensions = dimensions
        self.schema = a.schema(
            [
                ("id", a.int64()),
                ("v", a.list_(a.float32(), dimensions)),
                ("t", a.string()),
                *((f"b{n}", a.int32()) for n in WANTED),
            ]
        )
        self.table = database.create_table("c", schema=self.schema)

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Take everything in."""
        for part in parts(len(vectors)):
            rows = np.asarray(part)
            flat = self.arrow.array(vectors[part.start : part.stop].ravel())
            columns = {
                "id": rows,
                "v": self.arrow.FixedSizeListArray.from_arrays(flat, self.dimensions),
                "t": texts[part.start : part.stop],
                **{f"b{n}": (rows % n).astype(np.int32) for n in WANTED},
            }
            self.table.add(self.arrow.table(columns, schema=self.schema))

    def build(self) -> None:
        """Make the index."""
        self.table.create_index(
            metric="cosine",
            vector_column_name="v",
            index_type="IVF_HNSW_SQ",
            num_partitions=1,
            m=GRAPH_LINKS,
            ef_construction=GRAPH_EFFORT,
        )
        for n in WANTED:
            self.table.create_scalar_index(f"b{n}", index_type="BITMAP")
        self.table.optimize()

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest."""
        asked = self.table.search(query, vector_column_name="v").metric("cosine").limit(COUNT)
        asked = asked.select(["id", "_distance"]).ef(effort).refine_factor(2)
        if share:
            asked = asked.where(f"b{share} = {WANTED[share]}", prefilter=True)
        found: Sequence[int] = asked.to_arrow()["id"].to_pylist()
        return found


class MilvusLite:
    """Milvus written in Python, behind its own protocol on a thread.

    Its client asks every ten seconds whether the connection is alive, for which the server ends it
    when a call takes long; the client then asks for the index once more and hears that it is there
    already. So it is told not to ask.
    """

    efforts = EFFORTS

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.milvus: Any = import_module("pymilvus")
        m = self.milvus
        never = {"grpc.keepalive_time_ms": 2**31 - 1}
        self.client = m.MilvusClient(str(folder / "milvus.db"), grpc_options=never)
        schema = m.MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", m.DataType.INT64, is_primary=True)
        schema.add_field("v", m.DataType.FLOAT_VECTOR, dim=dimensions)
        schema.add_field("t", m.DataType.VARCHAR, max_length=4_096)
        for n in WANTED:
            schema.add_field(f"b{n}", m.DataType.INT64)
        self.client.create_collection("c", schema=schema)

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Take everything in."""
        for part in parts(len(vectors)):
            rows = []
            for i in part:
                row = {"id": i, "v": vectors[i].tolist(), "t": texts[i][:1_000]}
                rows.append(row | {"b10": i % 10, "b100": i % 100})
            self.client.insert("c", rows)
        self.client.flush("c")

    def build(self) -> None:
        """Make the index."""
        index = self.client.prepare_index_params()
        graph = {"M": GRAPH_LINKS, "efConstruction": GRAPH_EFFORT}
        index.add_index("v", index_type="HNSW", metric_type="COSINE", params=graph)
        self.client.create_index("c", index, timeout=1_200)
        self.client.load_collection("c")

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest."""
        where = f"b{share} == {WANTED[share]}" if share else ""
        found = self.client.search(
            "c",
            data=[query.tolist()],
            limit=COUNT,
            filter=where,
            search_params={"params": {"ef": effort}},
        )
        return [each["id"] for each in found[0]]


class Chroma:
    """A graph beside SQLite. Its effort is fixed when it is made."""

    efforts = (300,)

    def __init__(self, folder: Path, _: int) -> None:
        chroma: Any = import_module("chromadb")
        settings = chroma.Settings(anonymized_telemetry=False)
        client = chroma.PersistentClient(str(folder / "chroma"), settings=settings)
        graph = {"space": "cosine", "ef_construction": GRAPH_EFFORT, "max_neighbors": GRAPH_LINKS}
        self.collection = client.create_collection(
            "vectors",
            embedding_function=None,
            configuration={"hnsw": graph | {"ef_search": self.efforts[0]}},
        )

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Take everything in."""
        for part in parts(len(vectors)):
            self.collection.add(
                ids=[str(i) for i in part],
                embeddings=vectors[part.start : part.stop],
                documents=list(texts[part.start : part.stop]),
                metadatas=[{"b10": i % 10, "b100": i % 100} for i in part],
            )

    def build(self) -> None:
        """It has."""

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest."""
        assert effort == self.efforts[0]
        where = {f"b{share}": WANTED[share]} if share else None
        found = self.collection.query(
            query_embeddings=[query], n_results=COUNT, where=where, include=[]
        )
        return [int(each) for each in found["ids"][0]]


class SqliteVec:
    """Comparing everything, in SQLite."""

    efforts = (0,)

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.file: Any = import_module("apsw").Connection(str(folder / "vec.db"))
        self.file.enable_load_extension(True)
        self.file.load_extension(import_module("sqlite_vec").loadable_path())
        columns = ", ".join(f"b{n} integer" for n in WANTED)
        self.file.execute(
            "create virtual table v using vec0(id integer primary key,"
            f" e float[{dimensions}] distance_metric=cosine, {columns}, +t text)"
        )

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Take everything in."""
        for part in parts(len(vectors)):
            rows = [(i, vectors[i].tobytes(), i % 10, i % 100, texts[i]) for i in part]
            with self.file:
                self.file.executemany(
                    "insert into v(id, e, b10, b100, t) values (?, ?, ?, ?, ?)", rows
                )

    def build(self) -> None:
        """There is none."""

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest."""
        assert not effort
        where = f" and b{share} = {WANTED[share]}" if share else ""
        asked = f"select id from v where e match ? and k = {COUNT}{where}"
        return [row[0] for row in self.file.execute(asked, (query.tobytes(),))]


ENGINES: dict[str, Any] = {
    "zvec": Zvec,
    "qdrant-edge": QdrantEdge,
    "lancedb": LanceDb,
    "milvus-lite": MilvusLite,
    "chroma": Chroma,
    "sqlite-vec": SqliteVec,
}
