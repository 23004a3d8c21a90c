"""The Hub's API byte by byte: ranges, conditions, pages, refusals, hostile paths, slow clients."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from littoral.adapters.shelves import LocalShelf
from littoral.terms.artifacts import OriginFile
from littoral.terms.facts import FileSent, RequestRefused
from littoral.web.patience import patient
from tests.adapters.shelves.made import shelved
from tests.web.fake_door import KEY
from tests.web.raw import PATIENCE_S, get
from tests.web.shelf import FILES, WEIGHTS, Pop, pop_with, repositories, shelf_in

FILE = "/hub/acme/tiny/resolve/main/model.safetensors"
SIZE = len(WEIGHTS)


@pytest.fixture
async def pop(tmp_path: Path) -> AsyncIterator[Pop]:
    async with pop_with(shelf_in(tmp_path)) as running:
        yield running


@pytest.mark.parametrize(
    ("said", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        ("bytes=1000000-2000000", 1_000_000, 2_000_001),
        (f"bytes={SIZE - 1}-{SIZE * 2}", SIZE - 1, SIZE),
    ],
)
async def test_a_range_is_answered(pop: Pop, said: str, start: int, end: int) -> None:
    answer = await pop.get(FILE, f"Range: {said}")
    assert (answer.status, answer.body) == (206, WEIGHTS[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "said", [f"bytes={SIZE}-", f"bytes={SIZE + 9}-{SIZE + 10}", "bytes=-0", "bytes=0-1,4-5"]
)
async def test_a_range_that_can_not_be_is_refused_with_the_size(pop: Pop, said: str) -> None:
    answer = await pop.get(FILE, f"Range: {said}")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert str(SIZE) in json.loads(answer.body)["error"]


@pytest.mark.parametrize("said", ["bytes=9-3", "lines=1-2", "bytes=a-b", "bytes=", "bytes=-"])
async def test_what_is_no_range_is_ignored(pop: Pop, said: str) -> None:
    answer = await pop.get(FILE, f"Range: {said}")
    assert (answer.status, answer.body) == (200, WEIGHTS)
    assert answer.headers["accept-ranges"] == "bytes"


async def test_conditions_are_looked_at(pop: Pop) -> None:
    etag = (await pop.get(FILE, method="HEAD")).headers["etag"]
    for said in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = await pop.get(FILE, f"If-None-Match: {said}")
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert (await pop.get(FILE, 'If-None-Match: "other"')).status == 200
    assert (await pop.get(FILE, "Range: bytes=0-0", f"If-Range: {etag}")).status == 206
    assert (await pop.get(FILE, "Range: bytes=0-0", 'If-Range: "old"')).status == 200


async def test_the_head_is_that_of_the_whole_file_without_its_bytes(pop: Pop) -> None:
    answer = await pop.get(FILE, "Range: bytes=0-0", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == answer.headers["x-linked-size"] == str(SIZE)
    assert answer.headers["x-linked-etag"] == answer.headers["etag"]
    assert not [name for name in answer.headers if "xet" in name]
    assert not pop.facts, "nothing was read"


async def test_an_empty_file_is_a_file(pop: Pop) -> None:
    answer = await pop.get("/hub/acme/tiny/resolve/main/empty")
    assert (answer.status, answer.body) == (200, b"")
    ranged = await pop.get("/hub/acme/tiny/resolve/main/empty", "Range: bytes=0-")
    assert (ranged.status, ranged.headers["content-range"]) == (416, "bytes */0")


async def test_a_tree_comes_in_pages(tmp_path: Path) -> None:
    files = {f"{number:04}.bin": b"x" for number in range(2_300)}
    many = shelved(tmp_path, "acme/many", files)
    async with pop_with(LocalShelf(lambda: [many])) as pop:
        path, found = "/hub/api/models/acme/many/tree/main?recursive=true&limit=5000", []
        for rows in (1000, 1000, 300):
            answer = await pop.get(path, "X-Forwarded-Proto: https")
            page = json.loads(answer.body)
            assert len(page) == rows
            found += [row["path"] for row in page]
            link = answer.headers.get("link", "")
            path = link.removeprefix("<https://test").partition(">")[0]
        assert found == sorted(files)
        assert not link


async def test_a_branch_with_a_slash_is_one_part_of_the_path(pop: Pop) -> None:
    for path in ("acme/tiny/resolve/v1%2Fold/old.txt", "%61cme/tiny/resolve/v1%2Fold/old%2Etxt"):
        assert (await pop.get(f"/hub/{path}")).body == b"old"
    assert (await pop.get("/hub/acme/tiny/resolve/v1/old/old.txt")).status == 404
    answer = await pop.get("/hub/api/models/acme/tiny/revision/refs/pr/1")
    assert answer.headers["x-error-code"] == "RevisionNotFound"


@pytest.mark.parametrize(
    "path",
    [
        "acme/tiny/resolve/main/../../../etc/passwd",
        "acme/tiny/resolve/main/..%2F..%2Fetc%2Fpasswd",
        "acme/tiny/resolve/main//etc/passwd",
        "acme/tiny/resolve/main/%2Fetc%2Fpasswd",
        "../acme/tiny/resolve/main/config.json",
        "acme//resolve/main/config.json",
        "acme/tiny/resolve/main",
        "acme/tiny/resolve/main/onnx",
        "acme/tiny/resolve/" + "a" * 2000 + "/config.json",
        "acme/tiny/resolve//config.json",
        "api/models/acme/tiny/tree/main/..",
        "api/models",
        "api/models/",
        "api/models/acme/tiny/xet-read-token/main",
        "api/spaces/acme/tiny",
        "resolve",
        "%E2%82%AC/x/resolve/main/%F0%9F%98%80",
    ],
)
async def test_a_hostile_path_leads_nowhere(pop: Pop, path: str) -> None:
    answer = await pop.get(f"/hub/{path}")
    assert answer.status in {200, 400, 404}
    assert (answer.status == 200) == (path == "api/models")
    assert b"root:" not in answer.body


STARTS = st.sampled_from(
    [
        *("/hub/", "/hub/api/", "/hub/api/models/", "/hub/api/models/acme/tiny/", "/hub/datasets/"),
        *("/hub/api/models/acme/tiny/tree/main/", "/hub/acme/tiny/resolve/", "/hub/acme/tiny/"),
        *("/v2/", "/v2/acme/tiny/", "/v2/acme/tiny/manifests/", "/v2/acme/tiny/blobs/"),
    ]
)
PARTS = st.one_of(
    st.sampled_from(
        [
            *("api", "models", "datasets", "acme", "tiny", "resolve", "main", "tree", "revision"),
            *("refs", "pr", "paths-info", "config.json", "onnx", "whoami-v2", "manifests", "blobs"),
            *("tags", "list", "library", "latest", "_catalog", "sha256:" + "0" * 64, "empty"),
            *("..", ".", "", "%2F", "%2e%2e", "%00", "%ff", "%C3%A9"),
        ]
    ),
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?%"), max_size=9
    ),
)


async def test_a_question_about_no_repository_has_no_answer(tmp_path: Path) -> None:
    async with pop_with(shelf_in(tmp_path)) as pop:
        assert (await pop.get("/hub/api/models", method="POST")).status == 404


FIELDS = st.sampled_from(
    ["Range: bytes=0-", "Range: bytes=9999999999999999999999-", "If-None-Match: *", "If-Range: x"]
)


@given(
    start=STARTS,
    path=st.lists(PARTS, max_size=6),
    query=st.sampled_from(
        ["", "?limit=0", "?limit=x", "?cursor=-1", "?recursive=1&cursor=9", "?%"]
    ),
    fields=st.lists(FIELDS, max_size=2),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_is_answered(
    tmp_path: Path, start: str, path: list[str], query: str, fields: list[str], method: str
) -> None:
    async def ask() -> None:
        async with pop_with(shelf_in(tmp_path)) as pop:
            answer = await pop.get(f"{start}{'/'.join(path)}{query}", *fields, method=method)
            assert answer.status < 500

    asyncio.run(ask())


async def test_a_damaged_file_is_refused_and_no_byte_of_it_leaves(pop: Pop, tmp_path: Path) -> None:
    (weights,) = (file for file in repositories(tmp_path)[0].files if file.path[0] == "m")
    data = bytearray(WEIGHTS)
    data[SIZE // 2] ^= 1
    Path(weights.place).write_bytes(data)
    answer = await pop.get(FILE)
    assert (answer.status, "x-repo-commit" in answer.headers) == (502, False)
    assert "not served" in json.loads(answer.body)["error"]
    assert RequestRefused("hub", "digest_mismatch", 502) in pop.facts
    assert FileSent("hub", 0, "failed") in pop.facts


async def test_many_ranges_at_once_are_each_their_own(pop: Pop) -> None:
    step = SIZE // 50
    spans = [(n * step, (n + 1) * step) for n in range(50)]
    asked = [pop.get(FILE, f"Range: bytes={start}-{end - 1}") for start, end in spans]
    answers = await asyncio.gather(*asked)
    assert b"".join(answer.body for answer in answers) == WEIGHTS[: 50 * step]


async def test_too_many_at_once_are_told_to_come_back(tmp_path: Path) -> None:
    held = Held(tmp_path)
    async with pop_with(held, sending_max=1) as pop:
        first = await pop.client()
        await first.send(get(FILE, f"Authorization: Bearer {KEY}"))
        await held.asked.wait()
        second = await pop.get(FILE)
        assert (second.status, second.headers["retry-after"]) == (429, "1")
        held.let_go.set()
        assert (await first.answer()).body == WEIGHTS
        assert (await pop.get(FILE)).status == 200


class Held(LocalShelf):
    """Waits before the first byte until it is let go, and counts what was read."""

    def __init__(self, folder: Path) -> None:
        there = repositories(folder)
        super().__init__(lambda: there)
        self.asked, self.let_go, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.pieces = 0

    @asynccontextmanager
    async def open(
        self, file: OriginFile, start: int, end: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            async with super().open(file, start, end) as pieces:
                yield self._held(pieces)
        finally:
            self.left.set()

    async def _held(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.asked.set()
        await self.let_go.wait()
        async for piece in pieces:
            self.pieces += 1
            yield piece


async def test_who_waits_long_is_told_that_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.web.files.patient", lambda responder: patient(responder, 0.001))
    held = Held(tmp_path)
    async with pop_with(held) as pop:
        client = await pop.client()
        await client.send(get(FILE, f"Authorization: Bearer {KEY}"))
        await client.until(b"100 Continue\r\n\r\n")
        held.let_go.set()
        answer = await client.answer()
    assert (answer.status, answer.body) == (200, WEIGHTS)
    assert set(answer.informational) == {100}


async def test_a_client_that_leaves_ends_the_reading(tmp_path: Path) -> None:
    held = Held(tmp_path)
    async with pop_with(held) as pop:
        client = await pop.client()
        await client.send(get(FILE, f"Authorization: Bearer {KEY}"))
        await held.asked.wait()
        client.leave()
        async with asyncio.timeout(PATIENCE_S):
            await held.left.wait()
    assert held.pieces == 0
    assert FileSent("hub", 0, "left") in pop.facts


async def test_a_client_that_takes_nothing_is_not_read_ahead_for(tmp_path: Path) -> None:
    large = shelved(tmp_path, "acme/large", {"large.bin": b"0123456789abcdef" * 4 * 2**20})
    shelf = Counted(lambda: [large])
    async with pop_with(shelf) as pop:
        client = await pop.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        path = "/hub/acme/large/resolve/main/large.bin"
        await client.send(get(path, f"Authorization: Bearer {KEY}"))
        for _ in range(20):
            await pop.get("/hub/api/whoami-v2")
        assert shelf.pieces < 32, "of 64 MiB at most what sockets hold, and one piece, was read"
        client.leave()


class Counted(LocalShelf):
    """Counts the pieces that are read."""

    pieces = 0

    @asynccontextmanager
    async def open(
        self, file: OriginFile, start: int, end: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async with super().open(file, start, end) as pieces:
            yield self._counted(pieces)

    async def _counted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            self.pieces += 1
            yield piece


async def test_paths_are_asked_for_in_json_too(pop: Pop) -> None:
    path = "/hub/api/models/acme/tiny/paths-info/main"

    async def ask(body: bytes) -> tuple[int, object]:
        client = await pop.client()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        answer = await client.ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return answer.status, json.loads(answer.body)

    status, rows = await ask(b'{"paths": ["config.json", "onnx/"]}')
    assert isinstance(rows, list)
    assert (status, [row["type"] for row in rows]) == (200, ["file", "directory"])
    assert rows[0]["size"] == len(FILES["config.json"])
    for body in (
        b'{"paths": 3}',
        b'{"paths": [3]}',
        b"\xff",
        b"{",
        b"paths=a" + b"&paths=a" * 10_003,
    ):
        assert (await ask(body))[0] == 400
