"""Sending files of artifacts to clients, for every front door.

Rules
- The head leaves when the first checked bytes are there, not before: what is damaged or can't be
  had is told as an error. What goes wrong later cuts the answer off, and the client resumes.
- A file is read no faster than its client takes it, and no longer than its client stays.
- So many answers at a time (`limits.FILES_SENT_MAX`); the next is told when to try again.
- Each request counts to its key's limit of requests a minute, whatever it asks for; bytes are no
  tokens.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from littoral.terms.artifacts import OriginFile
from littoral.terms.errors import BadRequestError, LittoralError, QueueFullError
from littoral.terms.facts import FileSent, RequestRefused
from littoral.terms.limits import FILES_SENT_MAX
from littoral.terms.ports import Observe, Shelf
from littoral.terms.values import Caller
from littoral.web.http import Request, Responder
from littoral.web.patience import patient
from littoral.web.ranges import Span, is_known, wanted
from littoral.web.refusals import refusal

__all__ = ["FileDesk"]

_TRY_AGAIN_S: Final = 1.0


class FileDesk:
    """Sends what is on one shelf."""

    def __init__(
        self,
        shelf: Shelf,
        observe: Observe,
        count: Callable[[Caller], object],
        *,
        sending_max: int = FILES_SENT_MAX,
    ) -> None:
        """Send nothing yet.

        Args:
            shelf: where the files are taken from.
            observe: hears of what was sent and refused.
            count: counts a request of a caller; raises where its limit leaves no room for it.
            sending_max: answers with bytes of files under way at a time.
        """
        self.shelf = shelf
        self._observe = observe
        self._count = count
        self._sending_max = sending_max
        self._sending = 0

    @contextmanager
    def attended(self, api: str, responder: Responder, caller: Caller) -> Iterator[None]:
        """Count a request, observe if it is refused, and keep who waits for it from giving up.

        Raises:
            RateLimitedError: its key's limit leaves no room for it.
        """
        try:
            self._count(caller)
            with patient(responder):
                yield
        except LittoralError as error:
            self._observe(RequestRefused(api, error.code, error.status))
            raise

    async def send(
        self,
        request: Request,
        responder: Responder,
        file: OriginFile,
        fields: Mapping[str, str],
        api: str,
    ) -> None:
        """Answer with a file, a range of it, or word that the client has it.

        Args:
            request: its method and header fields say which.
            responder: the way out.
            file: from the shelf.
            fields: header fields that name it; `etag`, quoted, is among them.
            api: by which door, for facts.

        Raises:
            QueueFullError: there are too many such answers under way.
            DigestMismatchError, OriginError: the shelf can't give it.
        """
        size, etag = file.size_bytes, fields["etag"]
        fields = {"accept-ranges": "bytes", **fields}
        if is_known(request.headers, etag):
            await responder.send(304, fields, b"")
            return
        head_only = request.method == "HEAD"
        span = None if head_only else wanted(request.headers, etag, size)
        if isinstance(span, str):
            error = BadRequestError(f"{file.path} has {size} bytes", advice=span)
            _, told, body = refusal(error, request.path, request.headers, request.id)
            await responder.send(416, told | {"content-range": f"bytes */{size}"}, body)
            return
        fields["content-type"] = "application/octet-stream"
        if span is not None:
            fields["content-range"] = f"bytes {span.start}-{span.end - 1}/{size}"
        status, span = (200, Span(0, size)) if span is None else (206, span)
        if head_only or span.start == span.end:
            await responder.start(status, fields, size)
            await responder.end()
            return
        await self._stream(responder, file, span, (status, fields), api)

    async def _stream(
        self,
        responder: Responder,
        file: OriginFile,
        span: Span,
        head: tuple[int, Mapping[str, str]],
        api: str,
    ) -> None:
        if self._sending >= self._sending_max:
            said = f"this machine sends {self._sending_max} files already"
            raise QueueFullError(said, retry_after_s=_TRY_AGAIN_S)
        self._sending += 1
        sent, outcome = 0, "failed"
        try:
            async with self.shelf.open(file, span.start, span.end) as pieces:
                piece = await anext(pieces)
                await responder.start(*head, span.end - span.start)
                await responder.write(piece)
                sent = len(piece)
                async for piece in pieces:
                    await responder.write(piece)
                    sent += len(piece)
            await responder.end()
            outcome = "whole"
        except (asyncio.CancelledError, ConnectionResetError):
            outcome = "left"
            raise
        finally:
            self._sending -= 1
            self._observe(FileSent(api, sent, outcome))
