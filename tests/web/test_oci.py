"""Pulling as from a registry: manifests, blobs, tags, refusals, as the specification has them."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from littoral.adapters.shelves import LocalShelf
from littoral.terms.facts import FileSent
from tests.adapters.shelves.made import shelved
from tests.web.fake_door import EMBED_MODEL, KEY, NARROW_KEY, OPERATOR_KEY
from tests.web.raw import Answer, get
from tests.web.shelf import FILES, WEIGHTS, Pop, pop_with, repositories

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
GGUF = b"GGUF" + bytes(range(256)) * 20_000


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
async def pop(tmp_path: Path) -> AsyncIterator[Pop]:
    there = [
        *repositories(tmp_path),
        shelved(tmp_path, "Acme/Chat-GGUF", {"chat.gguf": GGUF, "template": b"{{ .Prompt }}"}),
        shelved(tmp_path, "littoral/own", {"own.gguf": GGUF}, names=("0.5b",)),
    ]
    async with pop_with(LocalShelf(lambda: there)) as running:
        yield running


async def manifest_of(pop: Pop, name: str, tag: str, accept: str = OCI_MANIFEST) -> Answer:
    return await pop.get(f"/v2/{name}/manifests/{tag}", f"Accept: {accept}")


async def test_a_key_opens_the_registry_as_password_or_bearer(pop: Pop) -> None:
    basic = base64.b64encode(f"anyone:{KEY}".encode()).decode()
    client = await pop.client()
    for said in (f"Basic {basic}", f"Bearer {KEY}"):
        assert (await client.ask(get("/v2/", f"Authorization: {said}"))).status == 200
    wrong = base64.b64encode(b"anyone:lit_false").decode()
    for fields in ((), ("Authorization: Basic !",), (f"Authorization: Basic {wrong}",)):
        refused = await client.ask(get("/v2/", *fields))
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="littoral"'
        assert json.loads(refused.body)["errors"][0]["code"] == "UNAUTHORIZED"


async def test_a_manifest_names_every_file_by_its_bytes(pop: Pop) -> None:
    answer = await manifest_of(pop, "acme/tiny", "latest")
    manifest = json.loads(answer.body)
    assert answer.headers["content-type"] == manifest["mediaType"] == OCI_MANIFEST
    assert answer.headers["docker-content-digest"] == sha256(answer.body)
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    kinds = {}
    for layer in manifest["layers"]:
        name = layer["annotations"]["org.cncf.model.filepath"]
        assert (layer["digest"], layer["size"]) == (sha256(FILES[name]), len(FILES[name]))
        kinds[name] = layer["mediaType"].removeprefix("application/vnd.cncf.model.")
    assert set(kinds) == set(FILES)
    assert kinds["model.safetensors"] == kinds["onnx/model.onnx"] == "weight.v1.raw"
    assert (kinds["config.json"], kinds["README.md"]) == ("weight.config.v1.raw", "doc.v1.raw")
    config = manifest["config"]
    blob = await pop.get(f"/v2/acme/tiny/blobs/{config['digest']}")
    assert (sha256(blob.body), len(blob.body)) == (config["digest"], config["size"])


async def test_a_manifest_is_the_same_by_tag_commit_and_digest(pop: Pop, tmp_path: Path) -> None:
    first = await manifest_of(pop, "acme/tiny", "main")
    commit = repositories(tmp_path)[0].commit
    for reference in (commit, "latest", first.headers["docker-content-digest"]):
        assert (await manifest_of(pop, "acme/tiny", reference)).body == first.body
    head = await pop.get("/v2/acme/tiny/manifests/main", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    for field in ("docker-content-digest", "content-length", "content-type"):
        assert head.headers[field] == first.headers[field]


async def test_blobs_come_whole_in_ranges_and_not_again(pop: Pop) -> None:
    path = f"/v2/acme/tiny/blobs/{sha256(WEIGHTS)}"
    whole = await pop.get(path)
    assert (whole.body, whole.headers["docker-content-digest"]) == (WEIGHTS, sha256(WEIGHTS))
    part = await pop.get(path, "Range: bytes=1000000-1999999")
    assert (part.status, part.body) == (206, WEIGHTS[1_000_000:2_000_000])
    head = await pop.get(path, method="HEAD")
    assert (head.headers["content-length"], head.headers["accept-ranges"]) == (
        str(len(WEIGHTS)),
        "bytes",
    )
    assert (await pop.get(path, f"If-None-Match: {whole.headers['etag']}")).status == 304
    assert FileSent("oci", 1_000_000, "whole") in pop.facts


async def test_names_and_tags(pop: Pop) -> None:
    assert json.loads((await pop.get("/v2/_catalog")).body) == {
        "repositories": [
            *("acme/chat-gguf", "acme/tiny", "datasets/acme/tiny", "legacy", "littoral/own")
        ]
    }
    tags = await pop.get("/v2/acme/tiny/tags/list")
    assert json.loads(tags.body) == {"name": "acme/tiny", "tags": ["main"]}
    referrers = await pop.get(f"/v2/acme/tiny/referrers/{sha256(b'')}")
    assert json.loads(referrers.body)["manifests"] == []
    for name in ("acme/chat-gguf", "Acme/Chat-GGUF"):
        assert (await manifest_of(pop, name, "latest")).status == 200
    assert (await manifest_of(pop, "library/own", "0.5b")).status == 200
    data = json.loads((await manifest_of(pop, "datasets/acme/tiny", "latest")).body)
    assert data["layers"][0]["mediaType"] == "application/vnd.cncf.model.dataset.v1.raw"


async def test_ollamas_client_finds_a_model_in_its_own_form(pop: Pop) -> None:
    answer = await manifest_of(pop, "acme/chat-gguf", "latest", DOCKER_MANIFEST)
    assert answer.headers["content-type"] == DOCKER_MANIFEST
    manifest = json.loads(answer.body)
    model, template = manifest["layers"]
    assert model["mediaType"] == "application/vnd.ollama.image.model"
    assert template["mediaType"] == "application/vnd.ollama.image.template"
    path = f"/v2/acme/chat-gguf/blobs/{model['digest']}"
    size = int((await pop.get(path, method="HEAD")).headers["content-length"])
    step, parts = size // 16 + 1, []
    for start in range(0, size, step):
        part = await pop.get(path, f"Range: bytes={start}-{min(start + step, size) - 1}")
        parts.append(part.body)
    assert sha256(b"".join(parts)) == model["digest"]
    config = await pop.get(f"/v2/acme/chat-gguf/blobs/{manifest['config']['digest']}")
    assert json.loads(config.body)["model_format"] == "gguf"
    by_digest = await manifest_of(pop, "acme/chat-gguf", sha256(answer.body))
    assert by_digest.body == answer.body


async def test_a_file_without_a_sha256_is_given_one(tmp_path: Path) -> None:
    tiny = repositories(tmp_path)[0]
    files = tuple(
        replace(file, digest=None) if file.path == "config.json" else file for file in tiny.files
    )
    sealed = LocalShelf(lambda: [tiny])

    class Unhashed(LocalShelf):
        """Knows one of its files by its git name alone, as when it is on its way from the Hub."""

        def open(self, file, start, end):  # type: ignore[no-untyped-def]
            (known,) = (each for each in tiny.files if each.path == file.path)
            return sealed.open(known, start, end)

    async with pop_with(Unhashed(lambda: [replace(tiny, files=files)])) as pop:
        config = FILES["config.json"]
        manifest = json.loads((await manifest_of(pop, "acme/tiny", "main")).body)
        assert sha256(config) in {layer["digest"] for layer in manifest["layers"]}
        assert (await pop.get(f"/v2/acme/tiny/blobs/{sha256(config)}")).body == config


@pytest.mark.parametrize(
    ("path", "key", "status", "code"),
    [
        ("acme/nothing/manifests/main", KEY, 404, "NAME_UNKNOWN"),
        ("acme/nothing/tags/list", KEY, 404, "NAME_UNKNOWN"),
        ("acme/tiny/manifests/v9", KEY, 404, "MANIFEST_UNKNOWN"),
        (f"acme/tiny/manifests/{sha256(b'')}", KEY, 404, "MANIFEST_UNKNOWN"),
        (f"acme/tiny/blobs/{sha256(b'nothing')}", KEY, 404, "BLOB_UNKNOWN"),
        (f"acme/tiny/blobs/{sha256(b'secret')}", KEY, 404, "BLOB_UNKNOWN"),
        ("acme/tiny/blobs/..%2F..%2Fetc%2Fpasswd", KEY, 404, "NAME_UNKNOWN"),
        ("acme/secret/manifests/main", KEY, 404, "NAME_UNKNOWN"),
        ("legacy/manifests/main", NARROW_KEY, 403, "DENIED"),
        ("manifests/main", KEY, 404, "NAME_UNKNOWN"),
        ("acme/tiny", KEY, 404, "NAME_UNKNOWN"),
    ],
)
async def test_what_is_not_there_is_said_in_the_specifications_words(
    pop: Pop, path: str, key: str, status: int, code: str
) -> None:
    answer = await pop.get(f"/v2/{path}", key=key)
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (status, code)


async def test_keys_open_what_they_may_open(pop: Pop) -> None:
    path = f"/v2/acme/secret/blobs/{sha256(b'secret')}"
    assert (await pop.get(path, key=OPERATOR_KEY)).body == b"secret"
    assert (await pop.get("/v2/acme/tiny/manifests/main", key=NARROW_KEY)).status == 200
    catalogue = json.loads((await pop.get("/v2/_catalog", key=NARROW_KEY)).body)
    assert catalogue == {"repositories": ["acme/tiny"]}, EMBED_MODEL


async def test_nothing_is_taken(pop: Pop) -> None:
    answer = await pop.get("/v2/acme/tiny/blobs/uploads/", method="POST")
    assert answer.status == 405
    assert json.loads(answer.body)["errors"][0]["code"] == "UNSUPPORTED"
