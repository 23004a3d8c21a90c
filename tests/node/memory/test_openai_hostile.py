"""Whatever is sent to files and vector stores, the answer is an error in OpenAI's words."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from littoral.terms.stores import StoreWanted
from tests.node.memory.made import ALICE
from tests.node.memory.stored import StoresStand, stores_stand
from tests.web.raw import Answer

STORES = "/v1/vector_stores"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[StoresStand]:
    async with stores_stand(tmp_path) as stand:
        yield stand


async def asked(
    stand: StoresStand, method: str, path: str, body: bytes = b"", *fields: str
) -> Answer:
    client = await stand.served.client()
    lines = [f"{method} {path} HTTP/1.1", "Host: test", "Authorization: Bearer lit_alice"]
    lines += [*fields, f"Content-Length: {len(body)}", "", ""]
    return await client.ask("\r\n".join(lines).encode() + body, method)


def said(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/json"
    error = json.loads(answer.body)["error"]
    assert error["type"] == ("not_found_error" if answer.status == 404 else "invalid_request_error")
    return str(error["message"])


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("", b"[]", "object"),
        ("", b"{", "JSON"),
        ("", b'{"name": 1}', "name"),
        ("", b'{"metadata": {"a": 1}}', "metadata"),
        ("", json.dumps({"metadata": {str(n): "" for n in range(17)}}).encode(), "metadata"),
        ("", b'{"expires_after": {"anchor": "created_at", "days": 1}}', "anchor"),
        ("", b'{"expires_after": {"anchor": "last_active_at", "days": 0}}', "days"),
        ("", b'{"file_ids": "file-1"}', "file_ids"),
        ("", b'{"chunking_strategy": {"type": "static"}}', "static"),
        ("/STORE", b'{"name": []}', "name"),
        ("/STORE/files", b"{}", "file_id"),
        ("/STORE/files", b'{"file_id": "f", "attributes": {"a": []}}', "attributes"),
        ("/STORE/files", b'{"file_id": "f", "attributes": {"": 1}}', "attributes"),
        (
            "/STORE/files",
            b'{"file_id": "f", "chunking_strategy": {"type": "static", "static": '
            b'{"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}}}',
            "overlap",
        ),
        ("/STORE/file_batches", b"{}", "file_ids"),
        ("/STORE/file_batches", b'{"file_ids": [], "files": []}', "file_ids"),
        ("/STORE/file_batches", b'{"file_ids": []}', "one file"),
        ("/STORE/file_batches", b'{"files": [{"file_id":"a"},{"file_id":"a"}]}', "twice"),
        ("/STORE/search", b"{}", "query"),
        ("/STORE/search", b'{"query": ""}', "query"),
        ("/STORE/search", b'{"query": "   "}', "empty"),
        ("/STORE/search", b'{"query": []}', "query"),
        ("/STORE/search", b'{"query": [1]}', "query"),
        ("/STORE/search", b'{"query": "x", "max_num_results": 51}', "max_num_results"),
        ("/STORE/search", b'{"query": "x", "filters": {"type": "like"}}', "filter"),
        ("/STORE/search", b'{"query": "x", "ranking_options": {"score_threshold": 2}}', "score"),
    ],
)
async def test_a_malformed_body_is_refused_by_its_field(
    stand: StoresStand, path: str, body: bytes, names: str
) -> None:
    store = (await stand.stored.stores.create(StoreWanted(), ALICE)).store.id
    answer = await asked(stand, "POST", STORES + path.replace("STORE", store), body)
    assert answer.status == 400
    assert names in said(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{STORES}/", 404),
        ("GET", f"{STORES}/STORE/", 404),
        ("GET", f"{STORES}/STORE/nothing", 404),
        ("GET", f"{STORES}/STORE/search", 405),
        ("DELETE", f"{STORES}/STORE/files", 405),
        ("POST", f"{STORES}/STORE/files/f/content", 405),
        ("GET", f"{STORES}/STORE/files/f", 404),
        ("GET", f"{STORES}/STORE/files/f/content", 404),
        ("GET", f"{STORES}/STORE/file_batches/b", 404),
        ("POST", f"{STORES}/STORE/file_batches/b/cancel", 404),
        ("GET", f"{STORES}/..%2F..%2Fetc", 404),
        ("GET", f"{STORES}?limit=0", 400),
        ("GET", f"{STORES}?limit=101", 400),
        ("GET", f"{STORES}?limit=x", 400),
        ("GET", f"{STORES}?order=up", 400),
        ("GET", f"{STORES}?after=vs_none", 400),
        ("GET", f"{STORES}/STORE/files?filter=none", 400),
        ("GET", f"{STORES}?{'a=1&' * 40}", 400),
        ("GET", f"{STORES}?order=%ff", 400),
        ("GET", "/v1/files?after=x", 400),
        ("GET", "/v1/files/", 404),
        ("GET", "/v1/files/x/y/z", 404),
        ("DELETE", "/v1/files/x/content", 405),
        ("DELETE", "/v1/files/x", 404),
        ("PUT", "/v1/files", 405),
    ],
)
async def test_a_path_that_is_not_there_is_said_to_be_none(
    stand: StoresStand, method: str, path: str, status: int
) -> None:
    store = (await stand.stored.stores.create(StoreWanted(), ALICE)).store.id
    answer = await asked(stand, method, path.replace("STORE", store), b"{}" * (method == "POST"))
    assert answer.status == status
    assert said(answer)


def _form(**fields: str) -> bytes:
    body = b""
    for name, value in fields.items():
        body += f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    body += b'--xx\r\nContent-Disposition: form-data; name="file"; filename="NAME"\r\n\r\nx\r\n'
    return body + b"--xx--\r\n"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{}", "malformed"),
        (_form(), "purpose"),
        (_form(purpose="fine-tune"), "fine-tune"),
        (_form(purpose="assistants").replace(b"NAME", b""), "name"),
        (_form(purpose="assistants").replace(b"NAME", b"a\tb"), "name"),
        (_form(purpose="assistants").replace(b'name="file"', b'name="data"'), "file"),
        (_form(purpose="assistants", **{"expires_after[seconds]": "3600"}), "expires_after"),
        (
            _form(
                purpose="assistants",
                **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "1"},
            ),
            "expires_after",
        ),
    ],
)
async def test_a_malformed_form_keeps_nothing(stand: StoresStand, body: bytes, names: str) -> None:
    kind = "Content-Type: multipart/form-data; boundary=xx"
    answer = await asked(stand, "POST", "/v1/files", body, kind)
    assert answer.status == 400
    assert names in said(answer)
    assert not stand.kept.uploads.digests()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = (
    *("name", "metadata", "expires_after", "file_ids", "files", "chunking_strategy", "file_id"),
    *("attributes", "query", "filters", "max_num_results", "ranking_options"),
)
BODIES = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(body=BODIES, place=st.integers(0, 5))
async def test_any_body_is_taken_or_refused(
    stand: StoresStand, body: dict[str, object], place: int
) -> None:
    store = (await stand.stored.stores.create(StoreWanted(), ALICE)).store.id
    below = ("", f"/{store}", f"/{store}/files", f"/{store}/files/f", f"/{store}/file_batches")
    path = (*below, f"/{store}/search")[place]
    answer = await asked(stand, "POST", STORES + path, json.dumps(body).encode())
    assert answer.status in {200, 400, 404}
    if answer.status != 200:
        assert said(answer)
