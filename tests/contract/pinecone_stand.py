"""A stand-in for one index of Pinecone, for its official client: no server of it can be had.

Each request is held to what Pinecone has published of its data plane (the vectors of API 2025-10
and its limits), summed up by hand in `SHAPES`: a member that is not named there, one of another
type, or too much of anything is a failed test. What the real service would say beyond that, nobody
here knows.

It is as far behind with what was written as it is told to be (`behind`), and says so by Pinecone's
log sequence numbers.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "a key of Pinecone"

_VECTOR = {"id": str, "values": list, "metadata": dict}
SHAPES: Mapping[str, Mapping[str, type]] = {
    "POST /vectors/upsert": {"vectors": list, "namespace": str},
    "POST /vectors/delete": {"ids": list, "deleteAll": bool, "namespace": str},
    "POST /query": {
        "vector": list,
        "topK": int,
        "filter": dict,
        "namespace": str,
        "includeValues": bool,
        "includeMetadata": bool,
    },
    "POST /describe_index_stats": {},
    "GET /vectors/fetch": {"ids": list, "namespace": list},
    "GET /vectors/list": {"limit": list, "namespace": list, "paginationToken": list},
}
_COMPARED: Mapping[str, type | tuple[type, ...]] = {
    "$in": list,
    "$gte": (int, float),
    "$lte": (int, float),
    "$exists": bool,
}

Vector = dict[str, Any]


@dataclass
class Index:
    """What the index holds, and what was wrong with what it was asked."""

    dimension: int
    metric: str
    behind: int = 0
    """Questions that each write takes to be seen."""
    status: int = 0
    """Answered to all, if not 0."""
    namespaces: dict[str, dict[str, Vector]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    written: int = 0
    seen: int = 0
    asked_since: int = 0

    def answer(self, request: str, given: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        if request not in SHAPES:
            self.wrong.append(f"{request} is no route")
            return 404, {}, {}
        for name, value in given.items():
            wanted = SHAPES[request].get(name)
            if wanted is None or not isinstance(value, wanted):
                self.wrong.append(f"{request}: {name} is {type(value).__name__}")
        space = given.get("namespace", "")
        name = space[0] if isinstance(space, list) else space
        vectors = self.namespaces.get(name, {})
        match request:
            case "POST /vectors/upsert":
                return 200, *self._upsert(name, given["vectors"])
            case "POST /vectors/delete":
                return self._delete(name, given)
            case "POST /query":
                return 200, *self._query(vectors, given)
            case "GET /vectors/fetch":
                self._hold(len(given["ids"]) <= 1_000, "too many ids")
                found = {each: vectors[each] for each in given["ids"] if each in vectors}
                return 200, {"vectors": found, "namespace": name}, {}
            case "GET /vectors/list":
                return 200, self._list(vectors, given), {}
            case _:
                counts = {key: {"vectorCount": len(each)} for key, each in self.namespaces.items()}
                shown = {"dimension": self.dimension, "metric": self.metric, "namespaces": counts}
                return 200, {**shown, "indexFullness": 0, "totalVectorCount": 0}, {}

    def _upsert(self, name: str, vectors: list[Vector]) -> tuple[Any, dict[str, str]]:
        self._hold(1 <= len(vectors) <= 1_000, "vectors of one upsert")
        self._hold(len(json.dumps(vectors)) <= 2_000_000, "bytes of one upsert")
        for vector in vectors:
            self._hold(vector.keys() <= _VECTOR.keys(), f"members {list(vector)}")
            self._hold(len(vector["id"]) <= 512 and vector["id"].isascii(), "an id")
            self._hold(len(vector["values"]) == self.dimension, "dimensions")
            self._hold(any(vector["values"]), "a zero vector")
            metadata = vector.get("metadata", {})
            self._hold(len(json.dumps(metadata, ensure_ascii=False)) <= 40_960, "40 KB")
            for value in metadata.values():
                texts = isinstance(value, list) and all(isinstance(e, str) for e in value)
                self._hold(texts or isinstance(value, str | int | float), "metadata")
            self.namespaces.setdefault(name, {})[vector["id"]] = vector
        return {"upsertedCount": len(vectors)}, self._write()

    def _delete(self, name: str, given: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        self._hold(("ids" in given) is not ("deleteAll" in given), "either of the two")
        if name not in self.namespaces:
            return 404, {"code": 5, "message": "Namespace not found"}, {}
        if given.get("deleteAll"):
            del self.namespaces[name]
        for each in given.get("ids", ()):
            self.namespaces[name].pop(each, None)
        return 200, {}, self._write()

    def _query(
        self, vectors: dict[str, Vector], given: dict[str, Any]
    ) -> tuple[Any, dict[str, str]]:
        self._hold(1 <= given["topK"] <= 10_000, "topK")
        self._hold(len(given["vector"]) == self.dimension, "dimensions")
        self.asked_since += 1
        if self.asked_since > self.behind:
            self.seen = self.written
        if self.seen < self.written:
            return {"matches": [], "namespace": ""}, {"x-pinecone-max-indexed-lsn": str(self.seen)}
        passing = [each for each in vectors.values() if self._passes(each, given["filter"])]
        scored = sorted((self._score(given["vector"], e["values"]), e["id"]) for e in passing)
        best = scored if self.metric == "euclidean" else scored[::-1]
        matches = [{"id": key, "score": score} for score, key in best[: given["topK"]]]
        return {"matches": matches, "namespace": ""}, {"x-pinecone-max-indexed-lsn": str(self.seen)}

    def _list(self, vectors: dict[str, Vector], given: dict[str, Any]) -> Any:
        limit = int(given["limit"][0])
        self._hold(1 <= limit <= 100, "limit")
        ids = sorted(vectors, key=lambda each: each[::-1])  # no order is promised
        start = int(given.get("paginationToken", ["0"])[0])
        page: dict[str, Any] = {"vectors": [{"id": each} for each in ids[start : start + limit]]}
        if len(ids) > start + limit:
            page["pagination"] = {"next": str(start + limit)}
        return page

    def _score(self, one: list[float], other: list[float]) -> float:
        if self.metric == "euclidean":
            return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
        return sum(a * b for a, b in zip(one, other, strict=True))

    def _passes(self, vector: Vector, condition: dict[str, Any]) -> bool:
        self._hold(len(condition) == 1, f"a condition of {list(condition)}")
        ((name, wanted),) = condition.items()
        if name in {"$and", "$or"}:
            self._hold(bool(wanted) and isinstance(wanted, list), f"{name} of nothing")
            passing = [self._passes(vector, each) for each in wanted]
            return all(passing) if name == "$and" else any(passing)
        ((how, value),) = wanted.items()
        if how not in _COMPARED or not isinstance(value, _COMPARED[how]) or value == []:
            self.wrong.append(f"{how} of {value!r}")
            return False
        there = vector.get("metadata", {}).get(name)
        if how == "$exists" or there is None:
            return how == "$exists" and (there is not None) is value
        if how == "$in":
            values = there if isinstance(there, list) else [there]
            return any(each in value for each in values)  # type: ignore[operator]  # it is a list
        return bool(there >= value if how == "$gte" else there <= value)

    def _write(self) -> dict[str, str]:
        self.written += 1
        self.asked_since = 0
        return {"x-pinecone-request-lsn": str(self.written)}

    def _hold(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)


@contextmanager
def served(index: Index) -> Iterator[str]:
    """The index at an address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece: nobody waits for the second

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(parse_qs(urlsplit(self.path).query))

        def do_POST(self) -> None:
            length = int(self.headers["content-length"] or 0)
            self._answer(json.loads(self.rfile.read(length) or b"{}"))

        def _answer(self, given: dict[str, Any]) -> None:
            request = f"{self.command} {urlsplit(self.path).path}"
            refused = 401 if self.headers["Api-Key"] != KEY else index.status
            status, said, headers = (
                index.answer(request, given) if not refused else (refused, {}, {})
            )
            if not self.headers["X-Pinecone-Api-Version"]:
                index.wrong.append("no version of the API")
            body = json.dumps(said).encode()
            self.send_response(status)
            headers = {**headers, "content-type": "application/json"}
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
