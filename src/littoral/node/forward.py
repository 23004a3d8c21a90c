"""A worker's way to the conductor of its PoP: requests that the worker does not answer itself.

Method, path, header fields and body go as they came, the client's key among them, and the answer
comes back as it is, piece by piece, unless it is short. A client that leaves is missed there at
once.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Final
from urllib.parse import quote

from littoral.adapters.http.client import HttpClient, Response
from littoral.adapters.http.words import Deadlines, HttpError, Origin
from littoral.terms.errors import InternalError
from littoral.terms.limits import PIECE_BYTES_MAX
from littoral.web.http import Request, Responder
from littoral.web.patience import patient
from littoral.web.refusals import HUB, OCI

__all__ = ["Forward", "PATIENT", "end_to_end"]

PATIENT: Final = Deadlines(first_byte_s=float("inf"), between_bytes_s=float("inf"))
"""The other process is of this PoP: it keeps the deadlines, and its end ends the connection."""

_OF_THE_HOP: Final = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-type", "user-agent"),  # the client that forwards has its own
    }
)
_BODILESS: Final = frozenset({204, 304})
_OF_THE_ANSWER: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "transfer-encoding"}
    | {"x-request-id", "request-id"}  # the worker's own answer has these
)


def end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    """The header fields of a request that are not about one connection only."""
    return {name: value for name, value in headers.items() if name not in _OF_THE_HOP}


class Forward:
    """Answers requests with what the conductor answers."""

    def __init__(self, conductor: Path, connections_max: int) -> None:
        """Connect to nothing yet.

        Args:
            conductor: its socket file.
            connections_max: requests under way at a time; as many as the worker has connections.
        """
        self._client = HttpClient(
            Origin(socket_path=str(conductor)), deadlines=PATIENT, connections_max=connections_max
        )

    async def handle(self, request: Request, responder: Responder) -> None:
        """Answer one request.

        Raises:
            InternalError: the conductor does not answer, or not to the end.
        """
        fields = end_to_end(request.headers) | _seen_from_outside(request)
        if "content-type" in request.headers:
            fields["content-type"] = request.headers["content-type"]
        path = request.escaped or quote(request.path, safe="/:@!$&'()*+,;=~")
        path = f"{path}?{request.query}" if request.query else path
        told = patient(responder) if path.startswith((HUB, OCI)) else nullcontext()
        asking = self._client.request(request.method, path, request.body, headers=fields)
        try:
            with told:
                async with asking as answer:
                    await _pass_on(answer, request, responder)
        except HttpError as error:
            raise InternalError(
                "the main process of this PoP did not answer to the end",
                advice="it may be stopping; try again",
                retry_after_s=1,
            ) from error

    def close(self) -> None:
        """Close the idle connections."""
        self._client.close()


async def _pass_on(answer: Response, request: Request, responder: Responder) -> None:
    kept = {k: v for k, v in answer.headers.items() if k not in _OF_THE_ANSWER}
    length = answer.headers.get("content-length")
    size = None if length is None else int(length)
    if answer.status in _BODILESS:
        await responder.send(answer.status, kept, b"")
    elif request.method == "HEAD":
        await responder.start(answer.status, kept, size)
        await responder.end()
    elif size is not None and size <= PIECE_BYTES_MAX:
        body = await answer.read(size)
        if answer.status >= 400:
            body = _in_our_name(body, answer.headers, request)
        await responder.send(answer.status, kept, body)
    else:
        await responder.start(answer.status, kept, size)
        async for piece in answer:
            await responder.write(piece)
        await responder.end()


def _seen_from_outside(request: Request) -> dict[str, str]:
    """Where the client has found this PoP, unless a proxy has said it."""
    host, scheme = request.headers.get("host", ""), "https" if request.secure else "http"
    seen = {"x-forwarded-host": host, "x-forwarded-proto": scheme}
    return {name: value for name, value in seen.items() if name not in request.headers}


def _in_our_name(body: bytes, headers: Mapping[str, str], request: Request) -> bytes:
    """What is refused, under the id that this answer has: some APIs say it in the body too."""
    theirs = headers.get("x-request-id", "")
    return body.replace(theirs.encode(), request.id.encode()) if theirs else body
