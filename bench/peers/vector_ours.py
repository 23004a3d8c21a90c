"""Ours, behind the calls of its peers: a collection as everything here uses it, and its index."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.vector_engines import COUNT, WANTED, Array, parts
from littoral.adapters.memory.embedded.place import open_collections
from littoral.adapters.memory.scan import Among, Truth, VectorScan
from littoral.terms.filters import Is
from littoral.terms.memory import (
    CollectionSpec,
    FieldKind,
    Metric,
    Nearest,
    Record,
    Search,
    Upsert,
    VectorField,
)

__all__ = ["ENGINES"]

LOOK_AGAIN_S = 0.05
OPENED = """
import sys
from pathlib import Path
import numpy as np
from littoral.adapters.memory.scan import VectorScan
from littoral.terms.memory import Metric

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

dimensions = int(sys.argv[2])
queries = np.random.default_rng(0).standard_normal((100, dimensions)).astype(np.float32)
begun = anonymous()
scan = VectorScan.open(Path(sys.argv[1]), dimensions, Metric.COSINE)
for query in queries:
    scan.search(query, 10)
print(anonymous() - begun)
"""


class Index:
    """The index alone: vectors in, rows out."""

    efforts = (0,)

    def __init__(self, folder: Path, dimensions: int) -> None:
        """Begin with nothing."""
        self.folder = folder / "scan"
        self.scan = VectorScan.open(self.folder, dimensions, Metric.COSINE)
        self.vectors: Array = np.empty(0)
        self.among: dict[int, Among] = {}

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Know what there is."""
        assert len(vectors) == len(texts)
        self.vectors = vectors
        rows = np.arange(len(vectors), dtype=np.int64)
        self.among = {n: Among(rows[value::n], key=n) for n, value in WANTED.items()}

    def build(self) -> None:
        """Make the index of it."""

        def batches() -> Iterator[tuple[Array, Array]]:
            for part in parts(len(self.vectors)):
                yield np.asarray(part), self.vectors[part.start : part.stop]

        assert self.scan.rebuild(lambda: Truth(1, batches()))

    @property
    def ram_bytes(self) -> int:
        """What a process takes for it beside mapped files, which opens it and searches."""
        words = [sys.executable, "-c", OPENED, str(self.folder), str(self.vectors.shape[1])]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest."""
        assert not effort
        found: list[int] = self.scan.search(query, COUNT, self.among.get(share)).rows.tolist()
        return found

    def replace(self, number: int) -> None:
        """Write one record anew; it is the same, under another row."""
        old = number % len(self.vectors)
        row = len(self.vectors) + number
        vector = self.vectors[old : old + 1]
        self.scan.change(2 + number, np.array([old]), np.array([row]), vector)


class Collection:
    """The embedded driver."""

    efforts = (0,)

    def __init__(self, folder: Path, dimensions: int) -> None:
        """Make one."""
        collections = open_collections(folder)
        fields = {f"b{n}": FieldKind.INTEGER for n in WANTED}
        spec = CollectionSpec(name="c", vectors=(VectorField(dimensions),), fields=fields)
        collections.create(spec)
        self.collections = collections
        self.collection = collections.open("c")
        self.where = {n: Is(f"b{n}", (value,)) for n, value in WANTED.items()}
        self.records: list[Record] = []
        self.ram_bytes = 0

    def take(self, vectors: Array, texts: Sequence[str]) -> None:
        """Take everything in."""
        for part in parts(len(vectors)):
            records = [
                Record(
                    id=str(i),
                    vectors={"": vectors[i].tobytes()},
                    text=texts[i],
                    metadata={"b10": i % 10, "b100": i % 100},
                )
                for i in part
            ]
            self.collection.apply([Upsert(tuple(records))])
            self.records += records[: max(0, 1_000 - len(self.records))]

    def build(self) -> None:
        """Wait for the index: a search asks for it, and it has all once nothing is written."""
        query = np.frombuffer(self.records[0].vectors[""], np.float32)
        self.search(query, 0, 0)
        while "built" in self.collections.describe()[0].index:
            threading.Event().wait(LOOK_AGAIN_S)

    def search(self, query: Array, effort: int, share: int) -> Sequence[int]:
        """The nearest, by their ids."""
        assert not effort
        search = Search(
            query=Nearest(query.tobytes()),
            limit=COUNT,
            where=self.where.get(share),
            with_content=False,
        )
        return [int(hit.record.id) for hit in self.collection.search(search).hits]

    def replace(self, number: int) -> None:
        """Write one record anew."""
        self.collection.apply([Upsert((self.records[number % len(self.records)],))])


ENGINES: dict[str, Any] = {"littoral": Collection, "littoral-index": Index}
