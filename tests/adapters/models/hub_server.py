"""A stand-in for the Hub that speaks its protocol over real sockets, and can misbehave on demand.

Two servers, as in the field: the hub, which lists and redirects, and the storage that it redirects
to. test_hub_client.py holds it to what the Hub's own client accepts.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from urllib.parse import parse_qsl, quote, unquote, urlsplit

COMMIT = "c" * 40
LARGE = (".gguf", ".safetensors", ".onnx")
"""What the Hub keeps with its SHA-256; all else has a name in git alone."""


def git_oid(content: bytes) -> str:
    """What git calls these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Behaviour:
    """What the servers do wrong; all of it is off at first."""

    token: str | None = None
    gated: bool = False
    statuses: list[int] = field(default_factory=list)
    """Answered, one each, before anything else is."""
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which the storage closes the connection, one for each request."""
    stalls: list[threading.Event] = field(default_factory=list)
    """The storage sends half of an answer and then waits for this, once each."""
    flip_bit: bool = False
    ignore_ranges: bool = False
    wrong_ranges: bool = False
    more_bytes: bytes = b""
    listing_digests: bool = True
    linked_headers: bool = True
    linked_etag: str | None = None
    weak_etags: bool = False
    redirect_to: str | None = None
    storage_at: str | None = None
    """Where the storage is said to be, if not where it is."""
    listing: bytes | None = None
    tree: bool = True
    tree_page: int = 1_000
    tree_address: str | None = None
    """What next pages of a tree are said to be at."""
    private: bool = False
    card: dict[str, object] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    """The storage answers these, one each, before anything else."""


@dataclass
class Seen:
    """One request, as a server saw it."""

    server: str
    method: str
    path: str
    headers: dict[str, str]


class HubServers:
    """Both servers and what is on them."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.behaviour = Behaviour()
        self.seen: list[Seen] = []
        self.pour: Callable[[BufferedIOBase, bytes], object] = _written
        """How the storage's bytes go to a client."""
        self.hub = self._server("hub")
        self.storage = self._server("storage")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.hub.server_address[1]}"

    @property
    def storage_address(self) -> str:
        return f"http://127.0.0.1:{self.storage.server_address[1]}"

    def asked(self, server: str, method: str = "GET") -> list[Seen]:
        return [one for one in self.seen if one.server == server and one.method == method]

    def _server(self, name: str) -> ThreadingHTTPServer:
        owner = self

        class Handler(_Handler):
            servers = owner
            server_name = name

        return _Server(("127.0.0.1", 0), Handler)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with its own 5, three PoPs wait for each other

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves in the middle is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    servers: HubServers
    server_name: str

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = unquote(urlsplit(self.path).path)
        self.servers.seen.append(Seen(self.server_name, self.command, self.path, headers))
        if self.server_name == "storage":
            self._bytes(path)
        elif self.servers.behaviour.statuses:
            self._error(self.servers.behaviour.statuses.pop(0), "Busy")
        elif self._allowed(headers):
            self._hub(path)

    def _allowed(self, headers: dict[str, str]) -> bool:
        behaviour = self.servers.behaviour
        if behaviour.gated:
            self._error(403, "GatedRepo")
        elif behaviour.token and headers.get("authorization") != f"Bearer {behaviour.token}":
            self._error(401, "RepoNotFound")
        else:
            return True
        return False

    def _hub(self, path: str) -> None:
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._listing(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            self._tree(found[1], found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(found[1], found[2], found[3])
        else:
            self._error(404, "NotFound")

    def _listing(self, repository: str, revision: str) -> None:
        files = self.servers.files.get(repository)
        if files is None:
            return self._error(404, "RepoNotFound")
        if revision not in {"main", "refs/pr/1", COMMIT}:
            return self._error(404, "RevisionNotFound")
        rows = [self._row(name, content) for name, content in files.items()]
        behaviour = self.servers.behaviour
        body = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": rows}
        flags = {"private": behaviour.private, "gated": False, "disabled": False, "tags": []}
        whole = {**body, **flags, "cardData": behaviour.card}
        return self._send(200, behaviour.listing or json.dumps(whole).encode())

    def _tree(self, repository: str, revision: str) -> None:
        """Page by page, in the directions that the Hub's own answers have."""
        behaviour = self.servers.behaviour
        files = self.servers.files.get(repository)
        if files is None or revision != COMMIT or not behaviour.tree:
            return self._error(404, "RevisionNotFound")
        rows: list[dict[str, object]] = [
            {"type": "directory", "path": folder, "size": 0, "oid": "d" * 40}
            for folder in sorted({name.rpartition("/")[0] for name in files} - {""})
        ]
        rows += [self._leaf(name, content) for name, content in files.items()]
        begin = int(dict(parse_qsl(urlsplit(self.path).query)).get("cursor", "0"))
        end = begin + behaviour.tree_page
        headers = {}
        if end < len(rows):
            address = behaviour.tree_address or self.servers.endpoint
            path = urlsplit(self.path).path
            headers["Link"] = f'<{address}{path}?recursive=true&cursor={end}>; rel="next"'
        return self._send(200, json.dumps(rows[begin:end]).encode(), headers)

    def _leaf(self, name: str, content: bytes) -> dict[str, object]:
        leaf = {"type": "file", "path": name, "size": len(content), "oid": git_oid(content)}
        if name.endswith(LARGE):
            sha256 = hashlib.sha256(content).hexdigest()
            return {**leaf, "lfs": {"oid": sha256, "size": len(content), "pointerSize": 134}}
        return leaf

    def _row(self, name: str, content: bytes) -> dict[str, object]:
        row: dict[str, object] = {"rfilename": name}
        if not self.servers.behaviour.listing_digests:
            return row
        row |= {"size": len(content), "blobId": git_oid(content)}
        if name.endswith(LARGE):
            sha256 = hashlib.sha256(content).hexdigest()
            row["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
        return row

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        behaviour = self.servers.behaviour
        files = self.servers.files.get(repository)
        if files is None:
            return self._error(404, "RepoNotFound")
        if name not in files:
            return self._error(404, "EntryNotFound")
        content = files[name]
        sha256 = behaviour.linked_etag or hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if behaviour.linked_headers:
            named = sha256 if name.endswith(LARGE) else git_oid(content)
            tag = f'W/"{named}"' if behaviour.weak_etags else f'"{named}"'
            headers |= {"X-Linked-Etag": tag, "X-Linked-Size": str(len(content))}
        storage = behaviour.storage_at or self.servers.storage_address
        address = f"{storage}/{repository}/{quote(name)}?signature=s"
        headers["Location"] = behaviour.redirect_to or address
        return self._send(302, b"", headers)

    def _bytes(self, path: str) -> None:
        behaviour = self.servers.behaviour
        if behaviour.refused:
            return self._error(behaviour.refused.pop(0), "SignatureExpired")
        _, owner, repository, name = path.split("/", 3)
        content = self.servers.files[f"{owner}/{repository}"][name]
        if behaviour.flip_bit:
            content = content[:-1] + bytes([content[-1] ^ 1])
        content += behaviour.more_bytes
        start, status, headers = 0, 200, {"ETag": '"storage-tag"', "Accept-Ranges": "bytes"}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if found and not behaviour.ignore_ranges:
            start, status = int(found[1]), 206
            end = min(int(found[2] or len(content)) + 1, len(content))
            shown = start + 1 if behaviour.wrong_ranges else start
            headers["Content-Range"] = f"bytes {shown}-{end - 1}/{len(content)}"
            content = content[:end]
        return self._send(status, content[start:], headers)

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = self.servers.behaviour.cut_after
        if self.server_name == "storage" and cuts:
            body = body[: cuts.pop(0)]
            self.close_connection = True
        stalls = self.servers.behaviour.stalls
        if self.server_name == "storage" and stalls:
            self.wfile.write(body[: len(body) // 2])
            stalls.pop(0).wait(10)
            self.close_connection = True
            return
        if self.server_name == "storage":
            self.servers.pour(self.wfile, body)
        else:
            self.wfile.write(body)


def _written(out: BufferedIOBase, body: bytes) -> int:
    """All at once, by whatever kind of file it is."""
    return out.write(body)


@contextmanager
def running_hub() -> Iterator[HubServers]:
    """Both servers, listening until the context ends."""
    servers = HubServers()
    both = (servers.hub, servers.storage)
    threads = [threading.Thread(target=one.serve_forever, args=(0.02,)) for one in both]
    for thread in threads:
        thread.start()
    try:
        yield servers
    finally:
        for one in both:
            one.shutdown()
            one.server_close()
        for thread in threads:
            thread.join(5)
