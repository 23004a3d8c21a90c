"""Each kind of origin with a real server behind it, for the one suite that all of them pass."""

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from littoral.adapters.models import builtin
from littoral.adapters.models.builtin import Builtin, GgufParts, Offer
from littoral.adapters.models.packed import PackageOrigin
from littoral.adapters.origins import (
    DEFAULT_ENDPOINT,
    BucketSettings,
    Credential,
    Origins,
    OriginsSettings,
    Patience,
)
from littoral.terms.ids import ModelName, digest_of_hex
from littoral.terms.ports import Origin
from littoral.terms.values import ModelDefaults, ToolSupport
from tests.adapters.models.hub_server import running_hub
from tests.adapters.models.made import make_parts
from tests.contract.servers import Pushed, bucket_server, nginx, registry
from tests.contract.signatures import is_signed
from tests.contract.troubled import Troubled, troubled

SECRET = "s3cr3t-t0k3n"
FILES: Mapping[str, bytes] = {
    "config.json": b'{"model_type": "tiny"}',
    "empty.txt": b"",
    "sub/notes (ä).md": b"# Notes\n" * 10,
    "weights.safetensors": random.Random(5).randbytes(3_000_000),
}
WEIGHTS = "weights.safetensors"


@dataclass
class Stand:
    """An origin, and what is at it."""

    origins: Origins
    reference: str
    files: Mapping[str, bytes]
    missing: str
    """A reference of the same kind to what is not there."""
    promised: frozenset[str] = frozenset()
    """Files whose SHA-256 it promises."""
    wire: Troubled | None = None
    """In front of the server that the bytes come from."""
    redirects: bool = False
    """The bytes come from another server than the one that is asked."""
    change: Callable[[bytes], None] | None = None
    """Puts other bytes in the place of the largest file; None where names are of bytes."""
    secret_seen: Callable[[], bool] = field(default=lambda: True)
    """Whether the credential was shown to its server, and to no other."""

    @property
    def origin(self) -> Origin:
        return self.origins.origin_for(self.reference)

    @property
    def largest(self) -> str:
        return max(self.files, key=lambda path: len(self.files[path]))


@dataclass(frozen=True)
class At:
    """Where a stand is made, and how patient it is."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    patience: Patience = field(default_factory=Patience)

    def settings(
        self,
        credentials: Mapping[str, Credential] | None = None,
        hub: str = DEFAULT_ENDPOINT,
        buckets: BucketSettings | None = None,
    ) -> OriginsSettings:
        return OriginsSettings(
            credentials or {}, hub, buckets or BucketSettings(), patience=self.patience
        )


class Opens(Protocol):
    def __call__(self, at: At, stack: ExitStack) -> Stand: ...


def _origins(
    stack: ExitStack, settings: OriginsSettings, packages: Origin | None = None
) -> Origins:
    return stack.enter_context(Origins(settings, packages))


def _hub(at: At, stack: ExitStack) -> Stand:
    servers = stack.enter_context(running_hub())
    wire = stack.enter_context(troubled(servers.storage.server_address[1]))
    servers.files["someone/Tiny"] = dict(FILES)
    servers.behaviour.token = SECRET
    servers.behaviour.storage_at = f"http://{wire.address}"

    def secret_seen() -> bool:
        shown = [one.headers.get("authorization") for one in servers.asked("hub")]
        astray = [one for one in wire.seen if SECRET in str(one)]
        return set(shown) == {f"Bearer {SECRET}"} and not astray

    settings = at.settings({"127.0.0.1": Credential(SECRET)}, servers.endpoint)
    return Stand(
        _origins(stack, settings),
        "hf:someone/Tiny",
        FILES,
        "hf:someone/Else",
        frozenset({WEIGHTS}),
        wire,
        redirects=True,
        secret_seen=secret_seen,
    )


def _web(at: At, stack: ExitStack) -> Stand:
    wire = stack.enter_context(troubled(stack.enter_context(nginx(at.folder / "nginx"))))
    place = at.folder / "nginx" / "www" / "a b" / WEIGHTS
    place.parent.mkdir()
    place.write_bytes(FILES[WEIGHTS])
    settings = at.settings({wire.address: Credential(SECRET, "me")})
    return Stand(
        _origins(stack, settings),
        f"http://{wire.address}/a%20b/{WEIGHTS}",
        {WEIGHTS: FILES[WEIGHTS]},
        f"http://{wire.address}/other",
        wire=wire,
        change=_changer(place),
        secret_seen=lambda: all("authorization" in one.headers for one in wire.seen),
    )


def _bucket(at: At, stack: ExitStack) -> Stand:
    wire = stack.enter_context(troubled(stack.enter_context(bucket_server(at.folder / "buckets"))))
    wire.allowed = lambda seen: is_signed(seen, "me", SECRET)
    for path, content in FILES.items():
        place = at.folder / "buckets" / "models" / "tiny" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    settings = at.settings(
        {wire.address: Credential(SECRET, "me")}, buckets=BucketSettings(f"http://{wire.address}")
    )
    return Stand(
        _origins(stack, settings),
        "s3://models/tiny",
        FILES,
        "s3://models/other",
        wire=wire,
        change=_changer(at.folder / "buckets" / "models" / "tiny" / WEIGHTS),
        secret_seen=lambda: not any(SECRET in str(one) for one in wire.seen),
    )


def _oci(at: At, stack: ExitStack) -> Stand:
    port = stack.enter_context(registry(at.folder / "registry"))
    wire = stack.enter_context(troubled(port))
    pushed, name = Pushed(port), "someone/tiny"
    layers = [
        {
            "mediaType": "application/vnd.cncf.model.weight.v1.raw",
            **pushed.blob(name, content),
            "annotations": {"org.cncf.model.filepath": path},
        }
        for path, content in FILES.items()
    ]
    config = {
        "mediaType": "application/vnd.cncf.model.config.v1+json",
        **pushed.blob(name, json.dumps({"descriptor": {"name": "tiny"}}).encode()),
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": config,
        "layers": layers,
    }
    pushed.manifest(name, "v1", manifest)
    settings = at.settings({wire.address: Credential(SECRET)})
    return Stand(
        _origins(stack, settings),
        f"oci:{wire.address}/{name}:v1",
        FILES,
        f"oci:{wire.address}/{name}:v2",
        frozenset(FILES),
        wire,
        secret_seen=lambda: all(SECRET in one.headers["authorization"] for one in wire.seen),
    )


def _ollama(at: At, stack: ExitStack) -> Stand:
    port = stack.enter_context(registry(at.folder / "registry"))
    wire = stack.enter_context(troubled(port))
    pushed, name = Pushed(port), "library/tiny"
    files = {
        "model.gguf": FILES[WEIGHTS],
        "template": b"{{ .Prompt }}",
        "license": b"one",
        "license-2": b"two",
        "params.json": b"{}",
    }
    kinds = {"params.json": "params", "license-2": "license", "model.gguf": "model"}
    layers = [
        {
            "mediaType": f"application/vnd.ollama.image.{kinds.get(path, path)}",
            **pushed.blob(name, content),
        }
        for path, content in files.items()
    ]
    config = {"mediaType": "application/vnd.docker.container.image.v1+json"}
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {**config, **pushed.blob(name, b'{"model_format": "gguf"}')},
        "layers": layers,
    }
    pushed.manifest(name, "1b", manifest)
    return Stand(
        _origins(stack, at.settings()),
        f"ollama:{wire.address}/tiny:1b",
        files,
        f"ollama:{wire.address}/tiny:2b",
        frozenset(files),
        wire,
    )


def _folder(at: At, stack: ExitStack) -> Stand:
    root = at.folder / "some model"
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return Stand(
        _origins(stack, at.settings()),
        f"file:{root}",
        FILES,
        f"file:{root}/other",
        change=_changer(root / WEIGHTS),
    )


def _package(at: At, stack: ExitStack) -> Stand:
    index = at.folder / "index"
    index.mkdir()
    at.monkeypatch.setenv("PIP_NO_INDEX", "1")
    at.monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    content = FILES[WEIGHTS][:300_000]
    recipe = GgufParts(
        "tiny.gguf",
        digest_of_hex(hashlib.sha256(content).hexdigest()),
        make_parts(index, content, 2),
        ModelDefaults(),
        ToolSupport.PROMPTED,
    )
    name = ModelName("tiny")
    offer = Offer(name, "A tiny model", 1, len(content), "mit", "packages part-N 1.0")
    at.monkeypatch.setitem(builtin.BUILTIN, name, Builtin(offer, recipe))
    packages = PackageOrigin(at.folder / "unpacked")
    stack.callback(packages.close)
    return Stand(
        _origins(stack, at.settings(), packages),
        "package:tiny",
        {"tiny.gguf": content},
        "package:other",
        frozenset({"tiny.gguf"}),
    )


def _changer(path: Path) -> Callable[[bytes], None]:
    """Puts other bytes into a file, a while later: servers tell time by the second."""

    def change(content: bytes) -> None:
        later = path.stat().st_mtime + 5
        path.write_bytes(content)
        os.utime(path, (later, later))

    return change


STANDS: Mapping[str, Opens] = {
    "hub": _hub,
    "web": _web,
    "bucket": _bucket,
    "oci": _oci,
    "ollama": _ollama,
    "folder": _folder,
    "package": _package,
}
WIRED = ("hub", "web", "bucket", "oci", "ollama")
"""Those whose bytes come over HTTP."""


@contextmanager
def stand_of(kind: str, at: At) -> Iterator[Stand]:
    """One with its servers, running until the context ends."""
    with ExitStack() as stack:
        yield STANDS[kind](at, stack)
