"""Pulling artifacts as from a registry: the OCI distribution API, read-only, at `/v2/`.

| path | what |
| --- | --- |
| `GET /v2/` | that this is a registry, and that the key is good |
| `GET /v2/_catalog` | names of what is here |
| `GET /v2/NAME/tags/list` | names of revisions |
| `GET`, `HEAD /v2/NAME/manifests/TAG` | a manifest, by tag, commit or digest |
| `GET`, `HEAD /v2/NAME/blobs/DIGEST` | a file, or a range of it, by its SHA-256 |
| `GET /v2/NAME/referrers/DIGEST` | nothing refers to anything yet: an empty index |

`NAME` is `owner/name` in any case, as registries know small letters only; `library/name` is
`littoral/name`. `latest` is `main`. The key is the password of `Authorization: Basic`, or a bearer.

It takes nothing, and has no tokens of its own.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from littoral.delivery.access import unknown_file, unknown_repository, unknown_revision
from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.errors import NotFoundError
from littoral.terms.ids import Digest
from littoral.terms.values import Caller
from littoral.trust.names import named
from littoral.web.files import FileDesk
from littoral.web.health import send_json
from littoral.web.http import Request, Responder
from littoral.web.oci_manifests import Blob, Packed, packed
from littoral.web.refusals import OCI
from littoral.web.routes import Route

__all__ = ["oci_routes"]

_API: Final = "oci"
_KEPT_MAX: Final = 256
"""Revisions whose manifests are remembered, some kilobytes each."""

_EMPTY_INDEX: Final = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": (),
}


def oci_routes(files: FileDesk) -> dict[str, dict[str, Route]]:
    """The routes, by path and method."""
    registry = _Registry(files)

    async def read(request: Request, responder: Responder, caller: Caller, rest: str) -> None:
        with files.attended(_API, responder, caller):
            await registry.read(request, responder, caller, rest)

    return {OCI: {"GET": Route(read, bare=True)}}


class _Registry:
    def __init__(self, files: FileDesk) -> None:
        self._files = files
        self._shelf = files.shelf
        self._kept: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        """By repository and commit: of the same files always the same."""

    async def read(self, request: Request, responder: Responder, caller: Caller, path: str) -> None:
        """Answer GET and HEAD."""
        match path.split("/"):
            case [""]:
                await send_json(responder, 200, {})
            case ["_catalog"]:
                names = [name.lower() for name in self._shelf.repositories(caller)]
                await send_json(responder, 200, {"repositories": names})
            case [*name, "tags", "list"]:
                tags = await self._tags(self._repository(name, caller), caller)
                await send_json(responder, 200, {"name": "/".join(name), "tags": tags})
            case [*name, "manifests", reference]:
                repository = self._repository(name, caller)
                manifest = await self._manifest(request, repository, reference, caller)
                await _send_blob(responder, manifest)
            case [*name, "blobs", digest]:
                repository = self._repository(name, caller)
                await self._send_file(request, responder, repository, digest, caller)
            case [*_, "referrers", _]:
                await send_json(responder, 200, _EMPTY_INDEX)
            case _:
                raise unknown_repository(path)

    def _repository(self, name: Sequence[str], caller: Caller) -> str:
        """The repository that is meant: the one here of this name in any case, or as it says."""
        owner, *rest = name or ("",)
        said = "/".join(["littoral", *rest] if owner == "library" and rest else name)
        here = self._shelf.repositories(caller)
        alike = [each for each in here if each.lower() == said.lower()]
        return said if said in alike or not alike else alike[0]

    async def _tags(self, repository: str, caller: Caller) -> list[str]:
        found = await self._shelf.revisions(repository, caller)
        return sorted({name for each in found for name in each.names if "/" not in name})

    async def _manifest(
        self, request: Request, repository: str, reference: str, caller: Caller
    ) -> Blob:
        if ":" not in reference:
            shelved = await self._tagged(repository, reference, caller)
            known = await self._known(shelved)
            return _accepted(known.forms, request.headers.get("accept", "")).manifest
        for shelved in await self._shelf.revisions(repository, caller):
            for form in (await self._known(shelved)).forms:
                if form.manifest.digest == reference:
                    return form.manifest
        raise unknown_revision(repository, reference)

    async def _tagged(self, repository: str, tag: str, caller: Caller) -> Shelved:
        try:
            return await self._shelf.find(repository, tag, caller)
        except NotFoundError as error:
            if tag != "latest" or error.details.get("missing") != "revision":
                raise
        return await self._shelf.find(repository, "main", caller)

    async def _send_file(
        self,
        request: Request,
        responder: Responder,
        repository: str,
        digest: str,
        caller: Caller,
    ) -> None:
        found = await self._shelf.revisions(repository, caller)
        for shelved in found:
            for file in shelved.files:
                if file.digest == digest:
                    await self._send(request, responder, file, digest)
                    return
        for shelved in found:
            known = await self._known(shelved)
            for file in shelved.files:
                if known.digests[file.path] == digest:
                    await self._send(request, responder, file, digest)
                    return
            for form in known.forms:
                if form.config.digest == digest:
                    await _send_blob(responder, form.config)
                    return
        raise unknown_file(repository, digest)

    async def _send(
        self, request: Request, responder: Responder, file: OriginFile, digest: str
    ) -> None:
        fields = {"etag": f'"{digest}"', "docker-content-digest": digest}
        await self._files.send(request, responder, file, fields, _API)

    async def _known(self, shelved: Shelved) -> "_Known":
        key = shelved.repository, shelved.commit
        known = self._kept.get(key)
        if known is None:
            digests = {file.path: await self._digest(file) for file in shelved.files}
            known = self._kept[key] = _Known(digests, packed(shelved, digests))
            while len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
        return known

    async def _digest(self, file: OriginFile) -> Digest:
        """The SHA-256 of a file; of one that its origin knows by its git name alone, by reading."""
        if file.digest is not None:
            return file.digest
        hashed = hashlib.sha256()
        async with self._shelf.open(file, 0, file.size_bytes) as pieces:
            async for piece in pieces:
                hashed.update(piece)
        return named(hashed)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a registry says of one revision."""

    digests: Mapping[str, Digest]
    """Of each file, by its path."""
    forms: tuple[Packed, ...]


def _accepted(forms: Sequence[Packed], accept: str) -> Packed:
    """The first form that the client takes; the first of all if it takes none of them."""
    for form in forms:
        if form.manifest.media_type in accept or "*/*" in accept:
            return form
    return forms[0]


async def _send_blob(responder: Responder, blob: Blob) -> None:
    fields = {"content-type": blob.media_type, "docker-content-digest": blob.digest}
    await responder.send(200, fields | {"etag": f'"{blob.digest}"'}, blob.data)
