"""The Hugging Face Hub, or anything that speaks its protocol, as an origin.

Rules
- A revision is resolved to a commit once; everything after is asked of that commit.
- The SHA-256 of a large file comes from the Hub, in its listing or as `X-Linked-Etag`; a small file
  has the name that git gives its bytes. An answer whose headers say otherwise is not read.
- The token goes to the endpoint itself and to nobody that it redirects to.

Places are `OWNER/NAME@COMMIT:PATH`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import quote, urljoin

from littoral.adapters.origins.asking import Asker, Question
from littoral.adapters.origins.lines import place_of
from littoral.adapters.origins.listing import listed
from littoral.adapters.origins.ranges import Span, reading
from littoral.adapters.origins.references import REPOSITORY, HubReference, parse_hub
from littoral.adapters.origins.replies import Reply, refusal
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import (
    BadRequestError,
    OriginChangedError,
    OriginError,
    OriginRefusedError,
)
from littoral.terms.ids import digest_of_hex
from littoral.terms.limits import ORIGIN_FILES_MAX, ORIGIN_LISTING_BYTES_MAX

__all__ = ["DEFAULT_ENDPOINT", "HubOrigin", "rows_of"]

DEFAULT_ENDPOINT: Final = "https://huggingface.co"

PAGES_MAX: Final = 1_000
"""Pages of one listing; the Hub's have 50 files or more."""

ASKED_MAX: Final = 256
"""Files that are asked for one by one, where a server's listing says no sizes."""

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SIZE: Final = re.compile(r"\d{1,15}")
_NEXT: Final = re.compile(r'<([^<>]{1,4096})>\s*;\s*rel="?next"?')


@dataclass(frozen=True, slots=True)
class _Row:
    """A file of a repository, as far as a listing says."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    oid: str | None = None


@dataclass(frozen=True, slots=True)
class HubOrigin:
    """One endpoint, and the token for it."""

    asker: Asker
    endpoint: str = DEFAULT_ENDPOINT
    token: str | None = field(default=None, repr=False)

    def find(self, reference: str) -> OriginListing:
        """The files of a repository at the commit that its revision is now.

        Raises:
            BadRequestError: it is no `hf:` reference.
            OriginError: as the port says.
        """
        if not reference.startswith("hf:"):
            raise BadRequestError(f"{reference[:200]!r} is not of the Hub", advice="begin with hf:")
        return self.look_up(parse_hub(reference.removeprefix("hf:")))

    def look_up(
        self, reference: HubReference, ending: tuple[str, ...] | None = None
    ) -> OriginListing:
        """As `find`, of a reference that has been read.

        Args:
            reference: which.
            ending: how the names of the files end that are looked at, in whatever case, instead
                of those that the reference names; errors name the first.
        """
        what = f"{reference.repository} at {reference.revision}"
        revision = quote(reference.revision, safe="")
        answer = self._json(
            f"{self.endpoint}/api/models/{reference.repository}/revision/{revision}?blobs=true",
            what,
        )[0]
        if not isinstance(answer, dict):
            raise self._no_listing(what)
        commit = answer.get("sha")
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise OriginRefusedError(
                f"the answer for {reference.repository} names no commit",
                advice="check that the endpoint speaks the Hub's protocol",
            )
        rows = _chosen(self._rows(answer.get("siblings"), what), reference, ending)
        if any(row.size_bytes is None for row in rows):
            rows = self._described(reference.repository, commit, rows)
        files = (self._file(reference.repository, commit, row) for row in rows)
        return OriginListing(
            str(replace(reference, revision=commit)),
            listed(files, what),
            private=self._is_private(answer),
            base=_base(answer.get("cardData")),
        )

    def read(
        self, file: OriginFile, start: int, end: int
    ) -> AbstractContextManager[Iterator[bytes]]:
        """As the port says."""
        repository, commit, path = _place(file.place)
        return reading(
            self.asker,
            self._question(repository, commit, path),
            Span(file, start, end),
            agree=lambda reply: self._agree(reply, file, commit),
            refused=lambda reply: self._refusal(reply, f"{path} in {repository}"),
        )

    def _question(self, repository: str, commit: str, path: str) -> Question:
        url = f"{self.endpoint}/{repository}/resolve/{commit}/{quote(path)}"
        return Question(url, f"{path} in {repository}", secret=self._secret())

    def _secret(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def _agree(self, reply: Reply, file: OriginFile, commit: str) -> None:
        """See before the first byte that this is still the file that was listed."""
        tag = _etag(reply)
        sha256 = tag if _SHA256.fullmatch(tag) else None
        oid = tag if _COMMIT.fullmatch(tag) else None
        promised = None if file.digest is None else file.digest.removeprefix("sha256:")
        if (
            (sha256 is not None and promised not in {None, sha256})
            or (oid is not None and file.git_oid not in {None, oid} and promised is None)
            or _linked_size(reply) not in {None, file.size_bytes}
            or reply.headers.get("x-repo-commit", commit) != commit
        ):
            raise OriginChangedError(f"{self.endpoint} lists one {file.path} and serves another")

    def _json(self, url: str, what: str) -> tuple[object, str | None]:
        """An answer in JSON, and the address of its next page."""
        question = Question(url, what, secret=self._secret(), listing=True)
        with self.asker.ask(question) as reply:
            if reply.status != 200:
                raise self._refusal(reply, what)
            body = reply.read(ORIGIN_LISTING_BYTES_MAX, what)
            more = _NEXT.search(reply.last.get("link", ""))
        try:
            return json.loads(body), None if more is None else urljoin(url, more[1])
        except (ValueError, RecursionError) as error:
            raise self._no_listing(what) from error

    def _rows(self, siblings: object, what: str) -> list[_Row]:
        rows = rows_of(siblings)
        if rows is None:
            raise self._no_listing(what)
        return rows

    def _described(self, repository: str, commit: str, rows: Sequence[_Row]) -> list[_Row]:
        """The same rows with sizes and digests, from the tree or from each file's own headers."""
        try:
            tree = {row.path: row for row in self._tree(repository, commit)}
        except OriginRefusedError:
            tree = {}
        if len(rows) - len(tree) > ASKED_MAX:
            raise OriginRefusedError(
                f"{self.endpoint} does not say how large {len(rows)} files of {repository} are",
                advice="check that the endpoint speaks the Hub's protocol, or name one file",
            )
        return [
            found
            if (found := tree.get(row.path, row)).size_bytes is not None
            else self._asked(repository, commit, row.path)
            for row in rows
        ]

    def _tree(self, repository: str, commit: str) -> list[_Row]:
        """The listing of newer servers, page by page."""
        what = f"the tree of {repository}"
        url: str | None = (
            f"{self.endpoint}/api/models/{repository}/tree/{commit}?recursive=true&expand=false"
        )
        found: list[_Row] = []
        for _ in range(PAGES_MAX):
            if url is None or len(found) > ORIGIN_FILES_MAX:
                break
            page, following = self._json(url, what)
            if isinstance(page, list):
                page = [row for row in page if not _is_directory(row)]
            found += self._rows(page, what)
            # Behind a mirror, addresses of next pages may be the Hub's own: asked there, the token
            # would go astray, so they are asked of the mirror.
            url = None if following is None else self._at_home(following)
        return found

    def _at_home(self, url: str) -> str:
        if place_of(url) == place_of(self.endpoint):
            return url
        _, _, path = url.partition("://")
        return f"{self.endpoint}/{path.partition('/')[2]}"

    def _asked(self, repository: str, commit: str, path: str) -> _Row:
        """What the file's own headers say, for servers whose listings have no digests."""
        question = replace(self._question(repository, commit, path), method="HEAD")
        with self.asker.ask(question) as reply:
            if reply.status != 200:
                raise self._refusal(reply, question.what)
            tag, size = _etag(reply), _linked_size(reply)
            length = reply.last.get("content-length", "")
        if size is None and _SIZE.fullmatch(length):
            size = int(length)
        return _Row(
            path,
            size,
            tag if _SHA256.fullmatch(tag) else None,
            tag if _COMMIT.fullmatch(tag) else None,
        )

    def _file(self, repository: str, commit: str, row: _Row) -> OriginFile:
        if row.size_bytes is None:
            raise OriginRefusedError(
                f"{self.endpoint} does not say how large {row.path} is",
                advice="check that the endpoint speaks the Hub's protocol",
            )
        return OriginFile(
            row.path,
            row.size_bytes,
            None if row.sha256 is None else digest_of_hex(row.sha256),
            f"{repository}@{commit}:{row.path}",
            row.oid if row.sha256 is None else None,
        )

    def _is_private(self, answer: Mapping[str, object]) -> bool:
        """Whether it is given only for the token; where a server does not say, it is taken so."""
        if "private" not in answer:
            return self.token is not None
        return bool(answer["private"]) or bool(answer.get("gated"))

    def _no_listing(self, what: str) -> OriginRefusedError:
        return OriginRefusedError(
            f"{self.endpoint} did not answer with a listing of {what}",
            advice="check that the endpoint speaks the Hub's protocol",
        )

    def _refusal(self, reply: Reply, what: str) -> OriginError:
        token_advice = (
            "check that the token may read it"
            if self.token is not None
            else "give a token with --token-file or HF_TOKEN"
        )
        match reply.headers.get("x-error-code"), reply.status:
            case "GatedRepo", _:
                return OriginRefusedError(
                    f"{what} is gated",
                    advice=f"accept its terms on its page at the Hub, and {token_advice}",
                )
            case "RevisionNotFound", _:
                return OriginRefusedError(
                    f"there is no {what}", advice="check the revision after the @"
                )
            case "EntryNotFound", _:
                return OriginRefusedError(f"there is no {what}", advice="check the file's name")
            case _:
                return refusal(
                    reply,
                    what,
                    f"check the name and the endpoint; if it is private, {token_advice}",
                )


def rows_of(siblings: object) -> list[_Row] | None:
    """Each file of a listing, or of one page of a tree; None when one is not what is there."""
    if not isinstance(siblings, list) or len(siblings) > ORIGIN_FILES_MAX:
        return None
    rows = [_row(row) for row in siblings]
    found = [row for row in rows if row is not None]
    return found if len(found) == len(rows) else None


def _row(row: object) -> _Row | None:
    """A sibling of the older listing, or a file of the tree; None when it is neither."""
    match row:
        case {"rfilename": str(path)} | {"type": "file", "path": str(path)}:
            pass
        case _:
            return None
    assert isinstance(row, dict)
    lfs = row.get("lfs")
    size, oid, sha256 = row.get("size"), row.get("blobId", row.get("oid")), None
    if isinstance(lfs, dict):
        size, sha256 = lfs.get("size", size), lfs.get("sha256", lfs.get("oid"))
    return _Row(
        path,
        size if isinstance(size, int) and not isinstance(size, bool) else None,
        sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else None,
        oid if isinstance(oid, str) and _COMMIT.fullmatch(oid) else None,
    )


def _is_directory(row: object) -> bool:
    return isinstance(row, dict) and row.get("type") == "directory"


def _chosen(
    rows: list[_Row], reference: HubReference, ending: tuple[str, ...] | None
) -> list[_Row]:
    """The files that are meant: of these endings; or that very name, else what the pattern matches.

    Raises:
        OriginRefusedError: there are none.
    """
    repository, wanted = reference.repository, reference.file
    if ending is not None:
        found = [row for row in rows if row.path.lower().endswith(ending)]
        if not found:
            raise OriginRefusedError(
                f"{repository} has no {ending[0].strip('.').upper()} file",
                advice="look for a repository of the same model that has one",
            )
        return found
    if wanted is None:
        return rows
    exact = [row for row in rows if row.path == wanted]
    found = exact or [row for row in rows if fnmatchcase(row.path, wanted)]
    if not found:
        raise OriginRefusedError(
            f"{repository} has no file {wanted!r}", advice="check the file's name"
        )
    return found


def _base(card: object) -> str | None:
    """The model that a repository's card says it is derived from."""
    named = card.get("base_model") if isinstance(card, dict) else None
    first = named[0] if isinstance(named, list) and named else named
    return f"hf:{first}" if isinstance(first, str) and REPOSITORY.fullmatch(first) else None


def _place(place: str) -> tuple[str, str, str]:
    """Repository, commit and path."""
    repository, _, rest = place.partition("@")
    commit, _, path = rest.partition(":")
    return repository, commit, path


def _etag(reply: Reply) -> str:
    """The entity tag of the file itself: the Hub's word, else the plain one; bare, in lowercase."""
    value = reply.headers.get("x-linked-etag") or reply.headers.get("etag") or ""
    return value.strip().removeprefix("W/").strip('"').lower()


def _linked_size(reply: Reply) -> int | None:
    """Size of the whole file as the Hub states it."""
    size = reply.headers.get("x-linked-size", "")
    return int(size) if _SIZE.fullmatch(size) else None
