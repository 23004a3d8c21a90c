"""OCI registries as an origin: ModelPack artifacts, and models of Ollama registries.

Rules
- A tag is resolved to a manifest once. The manifest must have the digest that it is asked by, and
  that the registry says it has; each file is a blob, whose digest is the SHA-256 of its bytes.
- A file must be one whole layer, as it is. Layers that are packed (tar, gzip, zstd) are refused:
  no range of them is a range of the file.
- A registry that wants a token names who gives it. Whoever that is gets the credential for its own
  host, or none: never the registry's, if it is another host.

Places are `SCHEME://HOST/v2/NAME/blobs/DIGEST`.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode, urlsplit

from littoral.adapters.origins.asking import Asker, Question
from littoral.adapters.origins.credentials import Credential, authorization, credential_for
from littoral.adapters.origins.lines import place_of
from littoral.adapters.origins.listing import listed
from littoral.adapters.origins.ranges import Span, reading
from littoral.adapters.origins.references import ImageReference, parse_reference
from littoral.adapters.origins.replies import refusal
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import BadRequestError, OriginChangedError, OriginRefusedError
from littoral.terms.ids import digest_of_hex
from littoral.terms.limits import ORIGIN_MANIFEST_BYTES_MAX, ORIGIN_TOKEN_CHARS_MAX
from littoral.trust.names import digest_of

__all__ = ["RegistryOrigin", "files_of_manifest", "read_challenge"]

TOKENS_MAX: Final = 64
"""Tokens that are kept, one for each repository."""

_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_TITLES: Final = ("org.cncf.model.filepath", "org.opencontainers.image.title")
_NAMES: Final = {
    "application/vnd.ollama.image.model": "model.gguf",
    "application/vnd.ollama.image.projector": "projector.gguf",
    "application/vnd.ollama.image.adapter": "adapter.gguf",
    "application/vnd.ollama.image.template": "template",
    "application/vnd.ollama.image.system": "system",
    "application/vnd.ollama.image.params": "params.json",
    "application/vnd.ollama.image.messages": "messages.json",
    "application/vnd.ollama.image.license": "license",
    "application/vnd.docker.ai.gguf.v3": "model.gguf",
    "application/vnd.docker.ai.license": "license",
}
"""What layers that say no name of their own hold."""

_ALIASES: Final = {"docker.io": "registry-1.docker.io"}
_PACKED: Final = re.compile(r"[.+](?:tar|gzip|zstd)\b")
_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LOOPBACK: Final = re.compile(r"(?:localhost|127(?:\.\d+){3})(?::\d+)?")
_PARAMETER: Final = re.compile(r'([a-z]+)="([^"]*)"')


class RegistryOrigin:
    """All registries, and what each is trusted with."""

    def __init__(
        self,
        asker: Asker,
        credentials: Mapping[str, Credential] | None = None,
        plain_hosts: frozenset[str] = frozenset(),
    ) -> None:
        """Know who is trusted with what, and which hosts speak HTTP without TLS."""
        self._asker = asker
        self._credentials = credentials or {}
        self._plain_hosts = plain_hosts
        self._lock = threading.Lock()
        self._tokens: dict[str, Mapping[str, str]] = {}
        self._ours: set[str] = set()
        """Repositories whose token was given for a credential."""

    def find(self, reference: str) -> OriginListing:
        """The files of the manifest that a tag is now.

        Raises:
            BadRequestError: it is no `oci:` or `ollama:` reference.
            OriginError: as the port says.
        """
        meant = parse_reference(reference)
        if not isinstance(meant, ImageReference):
            raise BadRequestError(f"{reference[:200]!r} is no image", advice="write oci:…")
        body = self._manifest(meant)
        document = _document(body, str(meant))
        if document.get("mediaType") in _INDEXES or "manifests" in document:
            meant = replace(meant, digest=digest_of_hex(_only_manifest(document, str(meant))))
            body = self._manifest(meant)
            document = _document(body, str(meant))
        digest = digest_of(body)
        base = self._base(meant)
        files = files_of_manifest(document, base, str(meant))
        return OriginListing(
            str(replace(meant, digest=digest)),
            listed(files, str(meant)),
            private=self._is_private(base),
        )

    def read(
        self, file: OriginFile, start: int, end: int
    ) -> AbstractContextManager[Iterator[bytes]]:
        """As the port says."""
        base, _, _ = file.place.partition("/blobs/")
        return reading(
            self._asker, self._question(file.place, base, file.path), Span(file, start, end)
        )

    def _manifest(self, meant: ImageReference) -> bytes:
        base, wanted = self._base(meant), meant.digest or meant.tag
        question = self._question(f"{base}/manifests/{wanted}", base, str(meant))
        accept = {"Accept": ", ".join((*_MANIFESTS, *_INDEXES))}
        with self._asker.ask(replace(question, headers=accept, listing=True)) as reply:
            if reply.status != 200:
                advice = "check the name and the tag; if it is private, configure a credential"
                raise refusal(reply, str(meant), advice)
            said = reply.headers.get("docker-content-digest")
            body = reply.read(ORIGIN_MANIFEST_BYTES_MAX, str(meant))
        has = digest_of(body)
        names = {meant.digest or has, said if said and said.startswith("sha256:") else has}
        if names != {has}:
            raise OriginChangedError(
                f"the manifest of {meant} does not have the digest it is named by"
            )
        return body

    def _base(self, meant: ImageReference) -> str:
        host = _ALIASES.get(meant.host, meant.host)
        plain = host in self._plain_hosts or _LOOPBACK.fullmatch(host)
        return f"{'http' if plain else 'https'}://{host}/v2/{meant.name}"

    def _question(self, url: str, base: str, what: str) -> Question:
        with self._lock:
            known = self._tokens.get(base)
        return Question(
            url,
            what,
            secret=known or self._at_once(base),
            challenged=lambda challenge: self._answered(challenge, base),
        )

    def _at_once(self, base: str) -> Mapping[str, str]:
        """A configured token is shown unasked; a user's password only to who asks for it."""
        found = credential_for(self._credentials, base)
        return (
            {}
            if found is None or found.user is not None
            else authorization(self._credentials, base)
        )

    def _answered(self, challenge: str, base: str) -> Mapping[str, str]:
        """What answers a challenge: a password, or a token from who gives them."""
        scheme, parameters = read_challenge(challenge)
        if scheme == "basic":
            secret: Mapping[str, str] = authorization(self._credentials, base)
        elif scheme == "bearer":
            secret = {"Authorization": f"Bearer {self._token(parameters, base)}"}
        else:
            raise OriginRefusedError(
                f"the registry at {place_of(base)[1]} wants to be asked otherwise"
            )
        with self._lock:
            if len(self._tokens) >= TOKENS_MAX:
                self._tokens.clear()
                self._ours.clear()
            self._tokens[base] = secret
        return secret

    def _token(self, parameters: Mapping[str, str], base: str) -> str:
        realm = parameters.get("realm", "")
        scheme, host, _ = place_of(realm)
        if scheme != "https" and base.startswith("https"):
            raise OriginRefusedError(
                "a registry sends us for a token to where it is not safe to ask"
            )
        name = base.partition("/v2/")[2]
        asked = {"service": parameters.get("service", ""), "scope": f"repository:{name}:pull"}
        query = urlencode({key: value for key, value in asked.items() if value})
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{query}"
        what = f"a token of {host} for {name}"
        secret = authorization(self._credentials, realm)
        with self._asker.ask(Question(url, what, secret=secret, listing=True)) as reply:
            if reply.status != 200:
                raise refusal(reply, what, f"configure a credential for {host}")
            body = reply.read(ORIGIN_MANIFEST_BYTES_MAX, what)
        document = _document(body, what)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise OriginRefusedError(f"{host} did not answer with a token")
        if len(token) > ORIGIN_TOKEN_CHARS_MAX:
            raise OriginRefusedError(f"the token of {host} is too long")
        if secret:
            with self._lock:
                self._ours.add(base)
        return token

    def _is_private(self, base: str) -> bool:
        """Whether the registry, or who gives its tokens, has been shown who we are."""
        with self._lock:
            return base in self._ours or bool(authorization(self._credentials, base))


def files_of_manifest(
    document: Mapping[str, object], base: str, what: str
) -> tuple[OriginFile, ...]:
    """The files that a manifest's layers are.

    Raises:
        OriginRefusedError: a layer is malformed, packed, or says no name.
    """
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise OriginRefusedError(f"the manifest of {what} has no layers")
    seen: dict[str, int] = {}
    return tuple(_file(layer, base, what, seen) for layer in layers)


def read_challenge(value: str) -> tuple[str, Mapping[str, str]]:
    """Scheme, in lowercase, and parameters of a `WWW-Authenticate`."""
    scheme, _, rest = value.strip().partition(" ")
    return scheme.lower(), dict(_PARAMETER.findall(rest[:8192]))


def _file(layer: object, base: str, what: str, seen: dict[str, int]) -> OriginFile:
    match layer:
        case {"mediaType": str(kind), "digest": str(digest), "size": int(size)} if (
            _SHA256.fullmatch(digest) and not isinstance(size, bool)
        ):
            pass
        case _:
            raise OriginRefusedError(f"the manifest of {what} has a malformed layer")
    assert isinstance(layer, dict)
    notes = layer.get("annotations")
    named = [
        title
        for key in _TITLES
        if isinstance(notes, dict) and isinstance(title := notes.get(key), str)
    ]
    if _is_packed(kind, notes, bool(named)):
        raise OriginRefusedError(
            f"{what} has packed files ({kind})",
            advice="publish the model with raw layers (`modctl build --raw`)",
        )
    if not named and kind not in _NAMES:
        raise OriginRefusedError(f"{what} has a layer without a name ({kind[:80]})")
    path = named[0].removeprefix("./") if named else _NAMES[kind]
    if not named:
        seen[path] = seen.get(path, 0) + 1
        path += "" if seen[path] == 1 else f"-{seen[path]}"
    return OriginFile(
        path, size, digest_of_hex(digest.removeprefix("sha256:")), f"{base}/blobs/{digest}"
    )


def _is_packed(kind: str, notes: object, named: bool) -> bool:
    """Whether a layer holds files in it. ORAS calls single files tar, and says what is one."""
    if isinstance(notes, dict) and notes.get("io.deis.oras.content.unpack") == "true":
        return True
    is_single = named and kind == "application/vnd.oci.image.layer.v1.tar"
    return _PACKED.search(kind) is not None and not is_single


def _document(body: bytes, what: str) -> Mapping[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise OriginRefusedError(f"what came for {what} is no JSON document")
    return document


def _only_manifest(document: Mapping[str, object], what: str) -> str:
    """Hexadecimal digits of the one manifest that an index has."""
    match document.get("manifests"):
        case [{"digest": str(digest)}] if _SHA256.fullmatch(digest):
            return digest.removeprefix("sha256:")
        case _:
            raise OriginRefusedError(
                f"{what} is several artifacts", advice="name the one that is meant by its digest"
            )
