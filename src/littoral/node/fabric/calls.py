"""Short questions to other PoPs that no client has asked: round trips, renewals, rolls.

They go over connections of their own, beside those of requests, so that a question never waits for
an answer's tokens. A PoP is told by its name, as for requests.
"""

import asyncio
import ssl
from collections.abc import Callable
from functools import partial

from littoral.adapters.http.client import HttpClient
from littoral.adapters.http.words import Deadlines, HttpError, Origin, Peering
from littoral.adapters.upstreams.target import TO
from littoral.terms.errors import UpstreamFailedError
from littoral.terms.ids import OwnerId, PopId
from littoral.terms.limits import CALL_BYTES_MAX, CALL_WAIT_S, CALLED_MAX
from littoral.trust.members import Member

__all__ = ["Calls"]


class Calls:
    """Asks other PoPs."""

    def __init__(
        self,
        tls: Callable[[OwnerId], ssl.SSLContext],
        *,
        wait_s: float = CALL_WAIT_S,
        bytes_max: int = CALL_BYTES_MAX,
        connections_max: int = 2,
    ) -> None:
        """Ask nobody yet.

        Args:
            tls: says whom of an owner to believe, and what to show.
            wait_s: for an answer.
            bytes_max: of an answer.
            connections_max: to one PoP.
        """
        self._tls = tls
        self._wait_s = wait_s
        self._bytes_max = bytes_max
        self._connections_max = connections_max
        self._clients: dict[tuple[str, str], HttpClient] = {}

    async def ask(
        self,
        name: str,
        url: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        to: PopId | None = None,
    ) -> bytes:
        """What a PoP answers.

        Args:
            name: its SPIFFE name.
            url: of its fabric listener.
            method: GET or POST.
            path: below the url.
            body: JSON, or nothing.
            to: another PoP, to which this one passes it on.

        Raises:
            UpstreamFailedError: it refuses, or does not answer in time.
        """
        client, headers = self._client(name, url), {} if to is None else {TO: to}
        try:
            async with (
                asyncio.timeout(self._wait_s),
                client.request(method, path, body, headers=headers) as response,
            ):
                answer = await response.read(self._bytes_max)
        except (HttpError, TimeoutError) as error:
            reason = str(error) or f"{self._wait_s:g} s without an answer"
            raise UpstreamFailedError(f"{name} can't be asked: {reason}") from None
        if response.status != 200:
            said = answer[:300].decode(errors="replace")
            raise UpstreamFailedError(f"{name} refuses {path} ({response.status}): {said}")
        return answer

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _client(self, name: str, url: str) -> HttpClient:
        known = self._clients.get((name, url))
        if known is None:
            if len(self._clients) >= CALLED_MAX:
                self._clients.pop(next(iter(self._clients))).close()
            origin, _ = Origin.of_url(url)
            owner = Member.of_name(name).owner
            peering = Peering(name, partial(self._tls, owner))
            deadlines = Deadlines(CALL_WAIT_S, self._wait_s, self._wait_s, self._wait_s)
            known = HttpClient(
                origin,
                deadlines=deadlines,
                connections_max=self._connections_max,
                peering=peering,
            )
            self._clients[name, url] = known
        return known
