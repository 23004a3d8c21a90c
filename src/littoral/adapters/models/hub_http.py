"""GET with the care that a model hub needs: redirects by hand, tokens kept home, errors in words.

Rules
- The token is sent to the origin (scheme, host, port) of the first address only. A redirect to
  another origin goes without it; one from https to http, or to no web address, is refused.
- Every wait has a bound. What another try may mend is a `BrokenError`; the rest are `OriginError`s
  with advice. Neither holds the token.

Proxies and certificates are the machine's own, as urllib finds them.
"""

import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from types import TracebackType
from typing import IO, Final, Self
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from littoral import __version__
from littoral.terms.errors import OriginError

__all__ = ["Answer", "BrokenError", "get"]

ANSWER_WAIT_S: Final = 30.0
"""For a connection, the head of an answer, or its next bytes."""

RETRY_AFTER_MAX_S: Final = 30.0
"""Longest that a server may ask us to wait before the next try."""

REDIRECTS_MAX: Final = 5

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MENDABLE: Final = frozenset({408, 429, 500, 502, 503, 504})


class BrokenError(Exception):
    """An attempt failed in a way that another one may mend."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _NoRedirects(HTTPRedirectHandler):
    """Leaves redirects to us."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Never."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer of a chain of redirects; a context that closes its connection."""

    status: int
    headers: Mapping[str, str]
    """In lowercase, of the whole chain; of a name met twice the first: the hub's word goes before
    that of the storage it redirects to."""
    last: Mapping[str, str]
    """Of the last answer alone."""
    body: http.client.HTTPResponse | HTTPError

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; none at the end.

        Raises:
            BrokenError: the connection broke.
        """
        try:
            return self.body.read(count)
        except (OSError, http.client.HTTPException) as error:
            raise BrokenError(_reason(error)) from error

    def linked_size(self) -> int | None:
        """Size of the whole file as the hub states it."""
        size = self.headers.get("x-linked-size", "")
        return int(size) if re.fullmatch(r"\d{1,15}", size) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.body.close()


def get(url: str, token: str | None, headers: Mapping[str, str], *, what: str) -> Answer:
    """Ask, following redirects.

    Args:
        url: where the hub has it.
        token: for the hub itself.
        headers: to send along the whole chain.
        what: the thing asked for, as error messages name it.

    Raises:
        BrokenError: another try may mend it.
        OriginError: it will not.
    """
    met: dict[str, str] = {}
    home = _origin(url)
    for _ in range(REDIRECTS_MAX + 1):
        body = _send(url, token if _origin(url) == home else None, headers)
        last = {name.lower(): value for name, value in body.headers.items()}
        met = last | met
        if body.status in {200, 206}:
            return Answer(body.status, met, last, body)
        body.close()
        if body.status not in _REDIRECTS:
            raise _refusal(body.status or 0, last, what, has_token=token is not None)
        url = _next(url, last.get("location", ""))
    raise OriginError(f"{what} is redirected in circles", advice="check the endpoint")


def _send(
    url: str, token: str | None, headers: Mapping[str, str]
) -> http.client.HTTPResponse | HTTPError:
    request = Request(url, headers={**headers, "User-Agent": f"littoral/{__version__}"})  # noqa: S310
    # Bytes as they are stored: a digest is of those, and ranges count those.
    request.add_header("Accept-Encoding", "identity")
    if token is not None:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        answer = build_opener(_NoRedirects).open(request, timeout=ANSWER_WAIT_S)
        assert isinstance(answer, http.client.HTTPResponse)
        return answer
    except HTTPError as error:
        return error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BrokenError(_reason(error)) from error


def _next(url: str, location: str) -> str:
    """Where a redirect leads, if it may."""
    target = urljoin(url, location)
    before, after = urlsplit(url).scheme, urlsplit(target).scheme
    if not location or after not in {"http", "https"} or (before == "https" and after == "http"):
        raise OriginError(
            f"{urlsplit(url).hostname} redirects to where it is not safe to follow",
            advice="check the endpoint",
        )
    return target


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _refusal(
    status: int, headers: Mapping[str, str], what: str, *, has_token: bool
) -> BrokenError | OriginError:
    if status in _MENDABLE:
        wait = headers.get("retry-after", "")
        wait_s = float(wait) if re.fullmatch(r"\d{1,6}", wait) else 0.0
        return BrokenError(f"HTTP {status}", min(wait_s, RETRY_AFTER_MAX_S))
    token_advice = (
        "check that the token may read it"
        if has_token
        else "give a token with --token-file or HF_TOKEN"
    )
    match headers.get("x-error-code"), status:
        case "GatedRepo", _:
            return OriginError(
                f"{what} is gated",
                advice=f"accept its terms on its page at the Hub, and {token_advice}",
            )
        case "RevisionNotFound", _:
            return OriginError(f"there is no {what}", advice="check the revision after the @")
        case "EntryNotFound", _:
            return OriginError(f"there is no {what}", advice="check the file's name")
        case _, (401 | 403 | 404):
            return OriginError(
                f"there is no {what}, or it is private (HTTP {status})",
                advice=f"check the name; if it is private, {token_advice}",
            )
        case _:
            return OriginError(
                f"the Hub answered HTTP {status} for {what}", advice="check the endpoint"
            )


def _reason(error: Exception) -> str:
    """A cause in words, without addresses."""
    inner = getattr(error, "reason", error)
    return str(inner) or type(error).__name__
