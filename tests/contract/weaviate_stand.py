"""A stand-in for a Weaviate server, for its official client: no server of it can be had.

It speaks what the client speaks, HTTP for what a collection is and gRPC for what is in it, in the
messages that the client was generated with. Each request is held to what Weaviate has published,
summed up by hand here: names, kinds of properties, and operators that are not known, or too much of
anything, are a failed test. What the real server would say beyond that, nobody here knows.
"""

import json
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from re import fullmatch
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import grpc  # type: ignore[import-untyped]
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    health_weaviate_pb2,
    properties_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

KEY = "a key of Weaviate"

_KINDS = {"text", "text[]", "number"}
_MOST = 10_000
"""QUERY_MAXIMUM_RESULTS, as Weaviate has it by itself."""


USUAL = {
    "cleanupIntervalSeconds": 300,
    "dynamicEfMin": 100,
    "dynamicEfMax": 500,
    "dynamicEfFactor": 8,
    "ef": -1,
    "efConstruction": 128,
    "flatSearchCutoff": 40_000,
    "maxConnections": 32,
    "skip": False,
    "vectorCacheMaxObjects": 10**12,
}
"""What Weaviate adds to the configuration of a graph."""


@dataclass
class Class:
    """One collection."""

    config: dict[str, Any]
    objects: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = field(default_factory=dict)


@dataclass
class Server:
    """What the server holds, and what was wrong with what it was asked."""

    classes: dict[str, Class] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    refuses: bool = False

    def hold(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)

    def make(self, config: dict[str, Any]) -> None:
        name = config["class"]
        self.hold(bool(fullmatch(r"[A-Z][_0-9A-Za-z]{0,254}", name)), f"the name {name}")
        for each in config["properties"]:
            self.hold(each["dataType"][0] in _KINDS, f"a property {each['dataType']}")
            if each["dataType"][0] != "number":
                self.hold(each["tokenization"] == "field", "compared as a whole")
            self.hold(bool(fullmatch(r"[_A-Za-z][_0-9A-Za-z]{0,230}", each["name"])), "a name")
        for vector in config.get("vectorConfig", {}).values():
            distance = vector.get("vectorIndexConfig", {}).get("distance", "dot")
            self.hold(distance in {"dot", "l2-squared"}, f"a distance {distance}")
            self.hold(vector["vectorizer"] == {"none": {}}, "who makes vectors")
            vector["vectorIndexConfig"] = USUAL | vector.get("vectorIndexConfig", {})
        self.classes[name] = Class(config)

    def kind_of(self, name: str, prop: str) -> str:
        found = [e for e in self.classes[name].config["properties"] if e["name"] == prop]
        self.hold(bool(found), f"a property {prop}")
        return str(found[0]["dataType"][0])

    def passes(self, name: str, key: str, wanted: Any) -> bool:
        kinds = base_pb2.Filters.Operator
        if wanted.operator in {kinds.OPERATOR_AND, kinds.OPERATOR_OR}:
            self.hold(bool(wanted.filters), "all or any of nothing")
            passing = [self.passes(name, key, each) for each in wanted.filters]
            return all(passing) if wanted.operator == kinds.OPERATOR_AND else any(passing)
        on = wanted.target.property
        value = key if on == "_id" else self.classes[name].objects[key][0].get(on)
        match wanted.operator:
            case kinds.OPERATOR_CONTAINS_ANY:
                self.hold(on == "_id" or self.kind_of(name, on) == "text[]", f"any of {on}")
                values = value if isinstance(value, list) else [value]
                return any(each in wanted.value_text_array.values for each in values)
            case kinds.OPERATOR_EQUAL if on == "_id":
                return bool(value == wanted.value_text)
            case kinds.OPERATOR_GREATER_THAN_EQUAL | kinds.OPERATOR_LESS_THAN_EQUAL:
                self.hold(self.kind_of(name, on) == "number", f"a range of {on}")
                if value is None:
                    return False
                above = wanted.operator == kinds.OPERATOR_GREATER_THAN_EQUAL
                return bool(value >= wanted.value_number if above else value <= wanted.value_number)
            case _:
                self.wrong.append(f"the operator {wanted.operator} of {on}")
                return False


class Servicer(weaviate_pb2_grpc.WeaviateServicer):
    """What is asked by gRPC."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        held = self._class(request.collection, context)
        self._server.hold(request.limit <= _MOST, "too much is asked for")
        keys = sorted(held.objects, key=lambda each: UUID(each).bytes)
        if request.HasField("filters"):
            name = request.collection
            keys = [e for e in keys if self._server.passes(name, e, request.filters)]
        if request.after:
            self._server.hold(not request.HasField("filters"), "a cursor with a filter")
            keys = [each for each in keys if UUID(each).bytes > UUID(request.after).bytes]
        if request.HasField("near_vector"):
            keys = self._nearest(held, keys, request.near_vector)
        found = [self._found(held, key, request) for key in keys[: request.limit or 10]]
        return search_get_pb2.SearchReply(results=found)

    def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802
        for each in request.objects:
            held = self._class(each.collection, context)
            values = dict(each.properties.non_ref_properties)
            values |= {
                texts.prop_name: list(texts.values)
                for texts in each.properties.text_array_properties
            }
            values |= {name: [] for name in each.properties.empty_list_props}
            for name in values:
                self._server.kind_of(each.collection, name)
            vectors = {vector.name: vector.vector_bytes for vector in each.vectors}
            self._server.hold(vectors.keys() <= held.config.get("vectorConfig", {}).keys(), "v")
            held.objects[each.uuid] = values, vectors
        return batch_pb2.BatchObjectsReply()

    def BatchDelete(self, request: Any, context: Any) -> Any:  # noqa: N802
        held = self._class(request.collection, context)
        name = request.collection
        gone = [e for e in held.objects if self._server.passes(name, e, request.filters)]
        for key in gone:
            del held.objects[key]
        return batch_delete_pb2.BatchDeleteReply(matches=len(gone), successful=len(gone))

    def Aggregate(self, request: Any, context: Any) -> Any:  # noqa: N802
        held = self._class(request.collection, context)
        self._server.hold(request.objects_count, "what is counted")
        single = aggregate_pb2.AggregateReply.Single(objects_count=len(held.objects))
        return aggregate_pb2.AggregateReply(single_result=single)

    def _class(self, name: str, context: Any) -> Class:
        metadata = dict(context.invocation_metadata())
        if metadata.get("authorization") != f"Bearer {KEY}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "unauthorized: invalid api key")
        if self._server.refuses:
            context.abort(grpc.StatusCode.INTERNAL, "out of luck")
        if name not in self._server.classes:
            context.abort(grpc.StatusCode.UNKNOWN, f"could not find class {name} in schema")
        return self._server.classes[name]

    def _nearest(self, held: Class, keys: list[str], near: Any) -> list[str]:
        (target,) = near.targets.target_vectors
        packed = near.vectors[0].vector_bytes if near.vectors else near.vector_bytes
        wanted = struct.unpack(f"<{len(packed) // 4}f", packed)
        distance = held.config["vectorConfig"][target]["vectorIndexConfig"]["distance"]
        scored = []
        for key in keys:
            there = held.objects[key][1].get(target)
            if there is not None:
                numbers = struct.unpack(f"<{len(there) // 4}f", there)
                self._server.hold(len(numbers) == len(wanted), "dimensions")
                pairs = list(zip(wanted, numbers, strict=True))
                far = sum((a - b) ** 2 for a, b in pairs)
                scored.append((far if distance != "dot" else -sum(a * b for a, b in pairs), key))
        return [key for _, key in sorted(scored)]

    def _found(self, held: Class, key: str, request: Any) -> Any:
        values, vectors = held.objects[key]
        fields = {
            name: properties_pb2.Value(text_value=values[name])
            for name in request.properties.non_ref_properties
            if name in values
        }
        asked = set(request.metadata.vectors) if not request.metadata.vector else set(vectors)
        kind = base_pb2.Vectors.VectorType.VECTOR_TYPE_SINGLE_FP32
        given = [
            base_pb2.Vectors(name=name, vector_bytes=packed, type=kind)
            for name, packed in vectors.items()
            if name in asked
        ]
        properties = properties_pb2.Properties(fields=fields)
        return search_get_pb2.SearchResult(
            properties=search_get_pb2.PropertiesResult(non_ref_props=properties),
            metadata=search_get_pb2.MetadataResult(
                id=key,
                id_as_bytes=UUID(key).bytes,
                vectors=given,
                creation_time_unix_present=True,
                last_update_time_unix_present=True,
            ),
        )


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece: nobody waits for the second

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path.startswith("/v1/.well-known/openid"):
                return self._say(404, {})
            if self.headers["authorization"] != f"Bearer {KEY}":
                return self._say(401, {"error": [{"message": "invalid api key"}]})
            if path in {"/v1/meta", "/v1/.well-known/ready"}:
                return self._say(200, {"version": "1.33.0", "grpcMaxMessageSize": 104_858_000})
            if path == "/v1/schema":
                return self._say(200, {"classes": [e.config for e in server.classes.values()]})
            found = server.classes.get(path.removeprefix("/v1/schema/"))
            return self._say(200, found.config) if found else self._say(404, {})

        def do_POST(self) -> None:
            config = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.make(config)
            self._say(200, config)

        def do_DELETE(self) -> None:
            server.classes.pop(urlsplit(self.path).path.removeprefix("/v1/schema/"), None)
            self._say(200, {})

        def _say(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _healthy(_request: bytes, _context: object) -> Any:
    serving = health_weaviate_pb2.WeaviateHealthCheckResponse.SERVING
    return health_weaviate_pb2.WeaviateHealthCheckResponse(status=serving)


@contextmanager
def served(server: Server) -> Iterator[str]:
    """The server at an address of this machine."""
    asked = grpc.server(ThreadPoolExecutor(4))
    add: Any = weaviate_pb2_grpc.add_WeaviateServicer_to_server
    add(Servicer(server), asked)
    health = grpc.unary_unary_rpc_method_handler(
        _healthy,
        response_serializer=health_weaviate_pb2.WeaviateHealthCheckResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": health})
    asked.add_generic_rpc_handlers((handlers,))
    grpc_port = asked.add_insecure_port("127.0.0.1:0")
    asked.start()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}?grpc=127.0.0.1:{grpc_port}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
        asked.stop(None).wait()
