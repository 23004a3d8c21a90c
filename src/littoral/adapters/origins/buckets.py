"""S3-compatible stores as an origin: an object, or all objects below a prefix.

Rules
- The library (`obstore`, the extra `s3`) lists and signs; bytes are read as of any web server, by
  signed addresses, so that every wait, range and change is seen to in one place.
- An address is signed for one read and lives for minutes. None is kept, shown or listed.
- An object's entity tag says whether it is still the one that was found. No digest is promised: an
  entity tag is the MD5 of some objects, and nothing that can be trusted of others.

Places are the entity tag, a line end, bucket, `/` and key.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

from littoral.adapters.origins.asking import Asker, Question
from littoral.adapters.origins.credentials import Credential, credential_for
from littoral.adapters.origins.listing import agree_on_state, listed, state_of
from littoral.adapters.origins.ranges import Span, reading
from littoral.adapters.origins.references import BucketReference, parse_reference
from littoral.adapters.origins.replies import Reply, refusal
from littoral.adapters.origins.web import size_of_answer
from littoral.terms.artifacts import OriginFile, OriginListing
from littoral.terms.errors import (
    BadRequestError,
    MissingExtraError,
    OriginBrokeError,
    OriginChangedError,
    OriginRefusedError,
)
from littoral.terms.limits import ORIGIN_CONNECT_WAIT_S, ORIGIN_FILES_MAX

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = ["BucketOrigin", "BucketSettings"]

SIGNED_FOR: Final = timedelta(minutes=15)
"""How long an address may be used: longer than any read takes to begin."""

BUCKETS_KNOWN_MAX: Final = 16
"""Buckets whose client is kept: making one reads all of the machine's certificates."""

_STATUS: Final = re.compile(r"status code: (\d{3})\b")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """Where buckets are."""

    endpoint: str | None = None
    """`https://HOST[:PORT]`, asked as `ENDPOINT/BUCKET/KEY`; Amazon's when None."""
    region: str = "us-east-1"

    @property
    def address(self) -> str:
        """Of the server that credentials are for."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"


class BucketOrigin:
    """One endpoint with its buckets."""

    def __init__(
        self,
        asker: Asker,
        settings: BucketSettings,
        credentials: Mapping[str, Credential] | None = None,
    ) -> None:
        """Know where; the credential for the endpoint's host is a pair of access key and secret."""
        self._asker = asker
        self._settings = settings
        self._pair = credential_for(credentials or {}, settings.address)
        self._lock = threading.Lock()
        self._stores: OrderedDict[str, S3Store] = OrderedDict()

    def find(self, reference: str) -> OriginListing:
        """The object of that key, or else all below it.

        Raises:
            BadRequestError: it is no `s3://` reference.
            MissingExtraError: the extra `s3` is not installed.
            OriginError: as the port says.
        """
        meant = parse_reference(reference)
        if not isinstance(meant, BucketReference):
            raise BadRequestError(f"{reference[:200]!r} is no object", advice="write s3://…")
        what = f"s3://{meant.bucket}/{meant.key}"
        objects = self._one(meant, what) or self._below(meant, what)
        files = listed((found.file(meant.bucket) for found in objects), what)
        marks = ((found.path, found.size_bytes, found.tag) for found in objects)
        state = state_of(marks)
        agree_on_state(meant.state, state, what)
        return OriginListing(str(replace(meant, state=state)), files, self._pair is not None)

    def read(
        self, file: OriginFile, start: int, end: int
    ) -> AbstractContextManager[Iterator[bytes]]:
        """As the port says."""
        tag, _, rest = file.place.partition("\n")
        bucket, _, key = rest.partition("/")

        def agree(reply: Reply) -> None:
            if _tag(reply.last.get("etag")) != tag:
                raise OriginChangedError(f"{file.path} has changed in its bucket")

        question = Question(self._signed(bucket, key), f"s3://{rest}")
        return reading(self._asker, question, Span(file, start, end), agree=agree)

    def _one(self, meant: BucketReference, what: str) -> "list[_Object]":
        """The object of that very key, if there is one."""
        if not meant.key or meant.key.endswith("/"):
            return []
        url = self._signed(meant.bucket, meant.key)
        with self._asker.ask(Question(url, what, {"Range": "bytes=0-0"}, listing=True)) as reply:
            if reply.status == 404:
                return []
            if reply.status in {401, 403}:
                raise refusal(reply, what, "check the credential for the endpoint")
            size = size_of_answer(reply, what)
            tag = _tag(reply.last.get("etag"))
        return [_Object(meant.key.rpartition("/")[2], meant.key, size, tag)]

    def _below(self, meant: BucketReference, what: str) -> "list[_Object]":
        prefix = f"{meant.key.strip('/')}/" if meant.key.strip("/") else ""
        store = self._store(meant.bucket)
        import obstore  # noqa: PLC0415 - an extra

        def collect() -> list[_Object]:
            found: list[_Object] = []
            for page in obstore.list(store, prefix or None):
                for row in page:
                    key, size = row["path"], row["size"]
                    if key.startswith(prefix) and not key.endswith("/"):
                        path = key.removeprefix(prefix)
                        found.append(_Object(path, key, size, _tag(row["e_tag"])))
                if len(found) > ORIGIN_FILES_MAX:
                    break
            return found

        return _translated(collect, what)

    def _signed(self, bucket: str, key: str) -> str:
        """An address that lets whoever has it read one object, for some minutes."""
        if self._pair is None:
            return f"{self._settings.address}/{bucket}/{quote(key)}"
        store = self._store(bucket)
        import obstore  # noqa: PLC0415 - an extra

        return _translated(
            lambda: obstore.sign(store, "GET", key, SIGNED_FOR), f"s3://{bucket}/{key}"
        )

    def _store(self, bucket: str) -> "S3Store":
        with self._lock:
            known = self._stores.get(bucket)
            if known is None:
                known = self._stores[bucket] = _opened(self._settings, self._pair, bucket)
            self._stores.move_to_end(bucket)
            if len(self._stores) > BUCKETS_KNOWN_MAX:
                self._stores.popitem(last=False)
            return known


@dataclass(frozen=True, slots=True)
class _Object:
    path: str
    key: str
    size_bytes: int
    tag: str = field(repr=False)

    def file(self, bucket: str) -> OriginFile:
        return OriginFile(self.path, self.size_bytes, None, f"{self.tag}\n{bucket}/{self.key}")


def _opened(settings: BucketSettings, pair: Credential | None, bucket: str) -> "S3Store":
    try:
        from obstore.store import S3Store  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "S3-compatible stores need obstore",
            advice="install it with `pip install 'littoral[s3]'`",
        ) from error
    return S3Store(
        bucket,
        config={
            "region": settings.region,
            "endpoint": settings.address,
            "skip_signature": pair is None,
            "access_key_id": "" if pair is None else pair.user or "",
            "secret_access_key": "" if pair is None else pair.secret,
        },
        client_options={
            "allow_http": settings.address.startswith("http://"),
            "timeout": timedelta(seconds=ORIGIN_CONNECT_WAIT_S),
            "connect_timeout": timedelta(seconds=ORIGIN_CONNECT_WAIT_S),
            # Listing is rare, and what nobody closes would be left when the origin is.
            "pool_max_idle_per_host": "0",
        },
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=ORIGIN_CONNECT_WAIT_S)},
    )


def _translated(ask: Callable[[], T], what: str) -> T:
    """Do what the library does, with its errors made ours: its words may hold addresses."""
    from obstore.exceptions import (  # noqa: PLC0415 - an extra
        BaseError,
        NotFoundError,
        PermissionDeniedError,
        UnauthenticatedError,
    )

    try:
        return ask()
    except (NotFoundError, FileNotFoundError):
        raise OriginRefusedError(f"there is no {what}", advice="check the name") from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise OriginRefusedError(
            f"the store does not let us read {what}",
            advice="check the credential for the endpoint",
        ) from None
    except BaseError as error:
        # Of a listing it says no more than this, and in words.
        status = _STATUS.search(str(error))
        if status is not None and status[1] in {"301", "400", "401", "403", "404"}:
            raise OriginRefusedError(
                f"the store does not list {what} (HTTP {status[1]})",
                advice="check the name, and the credential for the endpoint",
            ) from None
        raise OriginBrokeError(
            f"the store of {what} can't be asked ({type(error).__name__})", retry_after_s=0.0
        ) from None


def _tag(value: str | None) -> str:
    """An entity tag, without the quotes that some answers leave out."""
    return (value or "").strip().strip('"')
