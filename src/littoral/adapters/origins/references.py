"""How artifacts are named at their origins: what people write, read in one place. Pure.

    hf:OWNER/NAME[@REVISION][:PATH]          a repository of the Hugging Face Hub, or files of it
    https://HOST/PATH[#sha256=HEX]           one file of a web server
    s3://BUCKET/KEY                          an object, or all below `KEY/`
    oci:HOST/NAME:TAG  or  …@sha256:HEX      an artifact of a registry
    ollama:[HOST/][NAMESPACE/]MODEL[:TAG]    a model of an Ollama registry
    file:/PATH                               a file, or all files below a directory
    package:NAME                             a model that is published inside packages

Rules
- Each reads back from its own `str`, and means the same then.
- `#state=HEX` pins what its origin does not name by content: see `listing.state_of`.
- A reference never holds a secret: an address with a user or a password in it is refused.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from littoral.terms.errors import BadRequestError
from littoral.terms.ids import Digest, digest_of_hex
from littoral.terms.limits import ORIGIN_REFERENCE_CHARS_MAX

__all__ = [
    "REPOSITORY",
    "BucketReference",
    "FolderReference",
    "HubReference",
    "ImageReference",
    "PackageReference",
    "Reference",
    "WebReference",
    "parse_hub",
    "parse_reference",
]

OLLAMA_HOST: Final = "registry.ollama.ai"

REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
"""OWNER/NAME on the Hub."""
_REVISION: Final = re.compile(r"[\w./-]{1,200}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_STATE: Final = re.compile(r"[0-9a-f]{32}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?)(?::\d{1,5})?")
_NAME: Final = re.compile(
    r"[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,95}")
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository on the Hub at a revision, or some files of it."""

    repository: str
    file: str | None = None
    """A path or a pattern with `*`, `?` and `[…]`; None for all files. `models add` also takes a
    part of a name that only one file has."""
    revision: str = "main"

    def __str__(self) -> str:
        """As it is written."""
        tail = f":{self.file}" if self.file is not None else ""
        return f"hf:{self.repository}@{self.revision}{tail}"


@dataclass(frozen=True, slots=True)
class WebReference:
    """One file of a web server."""

    url: str
    """Without its fragment."""
    digest: Digest | None = None
    state: str | None = None

    def __str__(self) -> str:
        """As it is written."""
        if self.digest is not None:
            return f"{self.url}#sha256={self.digest.removeprefix('sha256:')}"
        return _stated(self.url, self.state)


@dataclass(frozen=True, slots=True)
class BucketReference:
    """An object of an S3-compatible store, or all whose keys begin with `key` and a slash."""

    bucket: str
    key: str
    """Empty for the whole bucket."""
    state: str | None = None

    def __str__(self) -> str:
        """As it is written."""
        return _stated(f"s3://{self.bucket}/{self.key}", self.state)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An artifact of a registry."""

    scheme: str
    """`oci` or `ollama`."""
    host: str
    """With its port, if it has one."""
    name: str
    tag: str = "latest"
    digest: Digest | None = None
    """Of the manifest; then the tag does not matter."""

    def __str__(self) -> str:
        """As it is written."""
        tail = f"@{self.digest}" if self.digest is not None else f":{self.tag}"
        return f"{self.scheme}:{self.host}/{self.name}{tail}"


@dataclass(frozen=True, slots=True)
class FolderReference:
    """A file or a directory of this machine."""

    path: str
    """Absolute."""
    state: str | None = None

    def __str__(self) -> str:
        """As it is written."""
        return _stated(f"file:{self.path}", self.state)


@dataclass(frozen=True, slots=True)
class PackageReference:
    """A model of the built-in table."""

    name: str

    def __str__(self) -> str:
        """As it is written."""
        return f"package:{self.name}"


Reference = (
    HubReference
    | WebReference
    | BucketReference
    | ImageReference
    | FolderReference
    | PackageReference
)


def parse_reference(text: str) -> Reference:
    """Read a reference of any kind.

    Raises:
        BadRequestError: it is of none.
    """
    if len(text) > ORIGIN_REFERENCE_CHARS_MAX or "\0" in text:
        raise _refused(
            text, "a place that artifacts come from", "it is too long, or has a zero in it"
        )
    scheme, _, rest = text.partition(":")
    match scheme:
        case "hf":
            return parse_hub(rest)
        case "http" | "https":
            return _parse_web(text)
        case "s3":
            return _parse_bucket(text)
        case "oci":
            return _parse_oci(text)
        case "ollama":
            return _parse_ollama(text)
        case "file":
            return _parse_folder(text)
        case "package" if _PACKAGE.fullmatch(rest):
            return PackageReference(rest)
        case _:
            raise _refused(
                text,
                "a place that artifacts come from",
                "it begins with hf:, https://, s3://, oci:, ollama:, file: or package:",
            )


def parse_hub(text: str) -> HubReference:
    """Read `owner/repo`, then `:file` and `@revision`, each at most once, in either order.

    After `@revision:` the file may have any character; before `@` it has none such.

    Raises:
        BadRequestError: it is not that.
    """
    end = min(at for mark in "@:" if (at := text.find(mark)) >= 0) if set("@:") & set(text) else -1
    repository, tail = (text, "") if end < 0 else (text[:end], text[end:])
    if tail.startswith("@"):
        revision, _, file = tail[1:].partition(":")
    else:
        file, _, revision = tail[1:].partition("@")
    parts = PurePosixPath(file).parts
    if (
        not REPOSITORY.fullmatch(repository)
        or not _REVISION.fullmatch(revision or "main")
        or file.startswith("/")
        or _CONTROL.search(file.replace(" ", "_"))
        or ".." in (*parts, *revision.split("/"))
    ):
        raise _refused(
            text,
            "a repository on the Hub",
            "write hf:owner/repo, and if need be :file and @revision after it",
        )
    return HubReference(repository, file or None, revision or "main")


def _parse_web(text: str) -> WebReference:
    url, _, fragment = text.partition("#")
    name, _, value = fragment.partition("=")
    try:
        parts = urlsplit(url)
        host, user, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        host = user = None
    if not host or user is not None or _CONTROL.search(url) or not url.isascii():
        raise _refused(
            url.partition("?")[0] if user is None else parts.scheme,
            "a file of a web server",
            "write https://HOST/PATH without a user or password; a server's token is configured",
        )
    if name == "sha256" and _HEX.fullmatch(value.lower()):
        return WebReference(url, digest=digest_of_hex(value.lower()))
    if name == "state" and _STATE.fullmatch(value):
        return WebReference(url, state=value)
    if fragment:
        raise _refused(
            f"#{fragment}", "what a file must be", "write #sha256= and 64 digits, or leave it"
        )
    return WebReference(url)


def _parse_bucket(text: str) -> BucketReference:
    rest, state = _without_state(text.removeprefix("s3:"))
    bucket, _, key = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not _BUCKET.fullmatch(bucket) or "\\" in key:
        raise _refused(text, "an object of a store", "write s3://BUCKET/KEY")
    return BucketReference(bucket, key, state)


def _parse_oci(text: str) -> ImageReference:
    host, _, rest = text.removeprefix("oci:").removeprefix("//").partition("/")
    found = _image("oci", host, rest)
    if found is None:
        raise _refused(
            text, "an artifact of a registry", "write oci:HOST/NAME:TAG or …@sha256:DIGEST"
        )
    return found


def _parse_ollama(text: str) -> ImageReference:
    rest = text.removeprefix("ollama:").removeprefix("//")
    first, slash, more = rest.partition("/")
    # As everywhere with images: what has a dot or a port in front of a slash is a host.
    if slash and ("." in first or ":" in first or first == "localhost"):
        host, rest = first, more
    else:
        host = OLLAMA_HOST
    if "/" not in rest:
        rest = f"library/{rest}"
    found = _image("ollama", host, rest)
    if found is None:
        raise _refused(text, "a model of an Ollama registry", "write ollama:MODEL:TAG")
    return found


def _image(scheme: str, host: str, rest: str) -> ImageReference | None:
    name, at, digest = rest.partition("@")
    name, colon, tag = name.partition(":")
    hexadecimal = digest.removeprefix("sha256:")
    if (
        not _HOST.fullmatch(host)
        or not _NAME.fullmatch(name)
        or len(name) > 255
        or (colon and not _TAG.fullmatch(tag))
        or (at and not (digest.startswith("sha256:") and _HEX.fullmatch(hexadecimal)))
    ):
        return None
    if at:
        return ImageReference(scheme, host, name, digest=digest_of_hex(hexadecimal))
    return ImageReference(scheme, host, name, tag or "latest")


def _parse_folder(text: str) -> FolderReference:
    rest, state = _without_state(text.removeprefix("file:"))
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if not path.startswith("/") or path.startswith("//") or ".." in PurePosixPath(path).parts:
        raise _refused(text, "a file or directory", "write file: and an absolute path without ..")
    return FolderReference(str(PurePosixPath(path)), state)


def _stated(text: str, state: str | None) -> str:
    return text if state is None else f"{text}#state={state}"


def _without_state(text: str) -> tuple[str, str | None]:
    """A reference and the state at its end; a `#` of a file's own name stays."""
    rest, mark, state = text.rpartition("#state=")
    return (rest, state) if mark and _STATE.fullmatch(state) else (text, None)


def _refused(text: str, of_what: str, advice: str) -> BadRequestError:
    return BadRequestError(f"{text[:200]!r} does not name {of_what}", advice=advice)
