"""Files of web servers as an origin: one file for one address.

Rules
- The server's entity tag, or else the time of its last change, says whether a file is still the one
  that was found. Every answer is compared with it before its first byte, and the server is asked to
  send a range of that very file only (`If-Range`).
- A SHA-256 is promised by the reference itself (`#sha256=`), or by the server's `Repr-Digest` or
  `Digest`; nothing else is one.
- A server that knows no ranges is taken for small files only.
- An address with a query is private: a query may be what lets one in. No error shows it.

Places are the validator (`etag` or `time`, its value), a line end, and the address.
"""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from littoral.adapters.origins.asking import Asker, Question
from littoral.adapters.origins.credentials import Credential, authorization
from littoral.adapters.origins.listing import agree_on_state, listed, state_of
from littoral.adapters.origins.ranges import Span, range_of_answer, reading
from littoral.adapters.origins.references import WebReference, parse_reference
from littoral.adapters.origins.replies import Reply, refusal
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import BadRequestError, OriginChangedError, OriginRefusedError
from littoral.terms.ids import Digest, digest_of_hex

__all__ = ["WebOrigin", "agree_on_mark", "mark_of_answer", "size_of_answer"]

WITHOUT_RANGES_BYTES_MAX: Final = 64 * 1024 * 1024
"""A file of a server that only sends whole files: each range of it costs all that comes before."""

_SHA256: Final = re.compile(
    r"(?:^|,)\s*sha-256=:?([A-Za-z0-9+/]{43}=):?\s*(?:[,;]|$)", re.IGNORECASE
)
_EMPTY: Final = re.compile(r"bytes \*/0")


@dataclass(frozen=True, slots=True)
class WebOrigin:
    """All web servers, and what each is trusted with."""

    asker: Asker
    credentials: Mapping[str, Credential] = field(default_factory=dict, repr=False)

    def find(self, reference: str) -> OriginListing:
        """The one file that is there now.

        Raises:
            BadRequestError: it is no web address.
            OriginError: as the port says.
        """
        meant = parse_reference(reference)
        if not isinstance(meant, WebReference):
            raise BadRequestError(f"{reference[:200]!r} is no address", advice="write https://…")
        what = _shown(meant.url)
        secret = authorization(self.credentials, meant.url)
        headers = {"Range": "bytes=0-0", "Want-Repr-Digest": "sha-256=10"}
        question = Question(meant.url, what, headers, secret, listing=True)
        with self.asker.ask(question) as reply:
            size = size_of_answer(reply, what)
            digest = meant.digest or _promised(reply)
            mark = mark_of_answer(reply)
        name = unquote(urlsplit(meant.url).path).rpartition("/")[2]
        file = OriginFile(name or "index", size, digest, f"{mark}\n{meant.url}")
        files = listed([file], what)
        if meant.digest is None:
            state = state_of([(file.path, size, mark)])
            agree_on_state(meant.state, state, what)
            meant = replace(meant, state=state)
        private = bool(secret) or bool(urlsplit(meant.url).query)
        return OriginListing(str(meant), files, private=private)

    def read(
        self, file: OriginFile, start: int, end: int
    ) -> AbstractContextManager[Iterator[bytes]]:
        """As the port says."""
        mark, _, url = file.place.partition("\n")
        secret = authorization(self.credentials, url)
        value = mark.partition(" ")[2]
        # A weak tag may not be asked for with ranges; the answer's own is compared all the same.
        strong = bool(value) and not value.startswith("W/")
        headers = {"If-Range": value} if strong else {}
        return reading(
            self.asker,
            Question(url, _shown(url), headers, secret),
            Span(file, start, end),
            agree=lambda reply: agree_on_mark(reply, mark, file.path),
        )


def mark_of_answer(reply: Reply) -> str:
    """What of an answer's head changes when the file does: kind, a blank, value; empty without."""
    if tag := reply.last.get("etag"):
        return f"etag {tag}"
    if time := reply.last.get("last-modified"):
        return f"time {time}"
    return ""


def agree_on_mark(reply: Reply, mark: str, path: str) -> None:
    """See that an answer is of the file that was found.

    Raises:
        OriginChangedError: it is of another.
    """
    if mark_of_answer(reply) != mark:
        raise OriginChangedError(f"{path} has changed at its origin")


def size_of_answer(reply: Reply, what: str) -> int:
    """Of the whole file, from the answer to a question for its first byte."""
    came = range_of_answer(reply)
    if reply.status == 206 and came is not None and came[:2] == (0, 1) and came[2] is not None:
        return came[2]
    if reply.status == 416 and _EMPTY.fullmatch(reply.last.get("content-range", "")):
        return 0
    if reply.status not in {200, 206}:
        raise refusal(reply, what)
    size = reply.size_bytes
    if reply.status == 206 or size is None:
        raise OriginRefusedError(f"the server of {what} does not say how large it is")
    if size > WITHOUT_RANGES_BYTES_MAX:
        raise OriginRefusedError(
            f"the server of {what} sends whole files only, and this one has {size:,} bytes",
            advice="put it on a server that takes Range requests",
        )
    return size


def _promised(reply: Reply) -> Digest | None:
    """The SHA-256 of the whole file, where the server says it (RFC 9530, RFC 3230)."""
    for name in ("repr-digest", "digest"):
        found = _SHA256.search(reply.last.get(name, ""))
        try:
            if found is not None:
                return digest_of_hex(b64decode(found[1], validate=True).hex())
        except (Error, ValueError):
            continue
    return None


def _shown(url: str) -> str:
    """An address as errors may show it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
