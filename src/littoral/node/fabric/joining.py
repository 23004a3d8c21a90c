"""Joining, renewing and coming back, over HTTP: the paths, and both of their ends.

    GET  /fabric/join/nonce   what a request must answer            anybody
    POST /fabric/join         JoinRequest -> JoinAnswer             who has a ticket
    POST /fabric/join/back    ComeBackRequest -> JoinAnswer         a member of yesterday
    POST /fabric/renew        RenewRequest -> JoinAnswer            a member, by its certificate
    GET  /fabric/ping         nothing                               a member, by its certificate
    POST /fabric/ping         the same, as what is relayed          a member, by its certificate
    POST /fabric/memory/…     copies of collections                 a member, by its certificate
    POST /fabric/hold         the connection is held (relaying.py)  a member, by its certificate

A newcomer trusts nobody but the owner whose fingerprint its ticket has: the first connection is
looked at (`tls.inviter`) before a byte is sent on it, and the ticket's secret is never sent at all.
"""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from littoral.adapters.http.client import HttpClient
from littoral.adapters.http.words import Deadlines, HttpError, Origin, Peering
from littoral.adapters.identity import Identity
from littoral.adapters.owner import Checked, FabricFiles, issuer_request
from littoral.adapters.owner.tls import client_context, inviter, newcomer_context
from littoral.node.asking import refused
from littoral.node.fabric.memory import KnownPop
from littoral.node.fabric.newcomer import accept
from littoral.node.fabric.registrar import Registrar
from littoral.node.fabric.relaying import PING
from littoral.terms.errors import (
    BadRequestError,
    JoinRejectedError,
    NotFoundError,
    OwnerKeyAwayError,
    StrangerError,
    TicketRejectedError,
    UpstreamFailedError,
)
from littoral.terms.limits import CALL_BYTES_MAX, CALL_WAIT_S
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND
from littoral.trust.decoding import UNREADABLE
from littoral.trust.joining import (
    ComeBackRequest,
    JoinAnswer,
    JoinRequest,
    come_back_request,
    join_request,
)
from littoral.trust.members import Member
from littoral.trust.tickets import Ticket
from littoral.web.certificate import Certificate
from littoral.web.http import Handler, Request, Responder

__all__ = [
    "RENEW",
    "Joined",
    "RenewRequest",
    "come_back",
    "join",
    "controls",
    "newcomers",
]

_NONCE: Final = "/fabric/join/nonce"
_JOIN: Final = "/fabric/join"
_BACK: Final = "/fabric/join/back"
RENEW: Final = "/fabric/renew"
MEMORY: Final = "/fabric/memory/"
"""Paths that begin so are of copies of collections (node/memory/replication.py)."""
_DEADLINES: Final = Deadlines(CALL_WAIT_S, CALL_WAIT_S, CALL_WAIT_S, CALL_WAIT_S)
_KINDS: Final = (JoinRejectedError, TicketRejectedError, OwnerKeyAwayError, BadRequestError)


class RenewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member asks for a new certificate."""

    csr: bytes
    issuer_csr: bytes = b""


class _Nonce(msgspec.Struct, frozen=True):
    nonce: bytes


_T = TypeVar("_T")


# --- the side that is asked ---------------------------------------------------------------------


def newcomers(registrar: Callable[[], Registrar | None]) -> Handler:
    """Answers below /fabric/join; `registrar` gives the issuing side, where this PoP may issue."""

    async def handle(request: Request, responder: Responder) -> None:
        issuing = registrar()
        if issuing is None:
            raise NotFoundError(
                "this PoP can't admit others",
                advice="ask one that may issue; `littoral pops` there shows which",
            )
        match request.method, request.path:
            case "GET", path if path == _NONCE:
                await _send(responder, _Nonce(issuing.nonce()))
            case "POST", path if path == _JOIN:
                await _send(responder, issuing.join(_read(request, JoinRequest)))
            case "POST", path if path == _BACK:
                await _send(responder, issuing.come_back(_read(request, ComeBackRequest)))
            case _:
                raise NotFoundError(f"there is nothing at {request.path[:200]}")

    return handle


def controls(
    registrar: Callable[[], Registrar | None],
    shown: Callable[[Certificate], Checked | None],
    memory: Callable[[Member, Request, Responder], Awaitable[None]],
) -> Callable[[Certificate], Handler]:
    """Answers a member's short questions, on a connection that has shown this certificate.

    Args:
        registrar: the issuing side, where this PoP may issue.
        shown: which member it is, as of now.
        memory: answers below /fabric/memory/.
    """

    def of(certificate: Certificate) -> Handler:
        async def handle(request: Request, responder: Responder) -> None:
            if request.method in {"GET", "POST"} and request.path == PING:
                # It gives nothing away; who had no good certificate has no such connection.
                await responder.send(200, {}, b"")
                return
            checked = shown(certificate)
            if checked is None:
                raise StrangerError("whoever asks is no member, or no longer one")
            match request.method, request.path:
                case "POST", path if path == RENEW:
                    issuing = registrar()
                    if issuing is None:
                        raise OwnerKeyAwayError("this PoP may not issue certificates")
                    wanted = _read(request, RenewRequest)
                    await _send(responder, issuing.renew(checked, wanted.csr, wanted.issuer_csr))
                case _, path if path.startswith(MEMORY):
                    await memory(checked.member, request, responder)
                case _:
                    raise NotFoundError(f"there is nothing at {request.path[:200]}")

        return handle

    return of


async def _send(responder: Responder, value: msgspec.Struct) -> None:
    headers = {"content-type": "application/json"}
    await responder.send(200, headers, msgspec.json.encode(value))


def _read(request: Request, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except UNREADABLE as error:
        raise BadRequestError(f"this is no {kind.__name__}: {str(error)[:200]}") from None


# --- the side that asks -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Joined:
    """What came of it."""

    member: Member
    answer: JoinAnswer
    host: str
    """Address of this machine by which it reached the other PoP."""


async def join(
    ticket: Ticket, identity: Identity, home: Path, clock: Clock, *, would_issue: bool = True
) -> Joined:
    """Join by a ticket: the first of its addresses that answers is asked.

    Args:
        ticket: whose.
        identity: of this PoP.
        home: its files are kept there.
        clock: for certificates.
        would_issue: offer to issue certificates too, as who can't be dialled had better not.

    Raises:
        TicketRejectedError, JoinRejectedError, IdentityError: refused; nothing was written.
        UpstreamFailedError: none of its addresses answers as the owner's PoP.
        HomeUnwritableError: what came can't be kept.
    """
    unanswered: list[str] = []
    for address in ticket.addresses:
        try:
            return await _join_at(address, ticket, identity, home, clock, would_issue=would_issue)
        except UpstreamFailedError as error:
            unanswered.append(f"{address}: {error.message}")
    raise UpstreamFailedError(
        f"no PoP could be joined ({'; '.join(unanswered)})",
        advice="see that the one that made the ticket runs, and that this machine reaches it",
    )


async def _join_at(
    address: str,
    ticket: Ticket,
    identity: Identity,
    home: Path,
    clock: Clock,
    *,
    would_issue: bool,
) -> Joined:
    def vet(connection: ssl.SSLObject) -> None:
        inviter(connection, ticket.fingerprint, clock.unix_ns() // SECOND)

    pop = identity.pop_id

    def request(nonce: bytes) -> JoinRequest:
        issuer_csr = issuer_request(home, pop, clock) if would_issue else b""
        keys = FabricFiles(home).requests(pop, clock, issuer_csr=issuer_csr)
        return join_request(ticket, identity, nonce=nonce, keys=keys)

    context = newcomer_context()
    peering = Peering("", lambda: context, vet)
    answer, host = await _answered(f"https://{address}", peering, _JOIN, request)
    member, _ = accept(home, answer, pop=pop, fingerprint=ticket.fingerprint, clock=clock)
    return Joined(member, answer, host)


async def come_back(issuer: KnownPop, identity: Identity, home: Path, clock: Clock) -> None:
    """Have an issuer renew a certificate that has run out.

    Raises:
        As `join`.
    """
    files = FabricFiles(home)
    owner, pop = Member.of_name(issuer.name).owner, identity.pop_id

    def request(nonce: bytes) -> ComeBackRequest:
        keys = files.requests(pop, clock, issuer_csr=issuer_request(home, pop, clock))
        return come_back_request(owner, identity, nonce=nonce, keys=keys)

    context = client_context(files, owner, shows_itself=False)
    peering = Peering(issuer.name, lambda: context)
    answer, _ = await _answered(issuer.url, peering, _BACK, request)
    accept(home, answer, pop=pop, fingerprint=files.fingerprint(), clock=clock)


async def _answered(
    url: str, peering: Peering, path: str, request: Callable[[bytes], msgspec.Struct]
) -> tuple[JoinAnswer, str]:
    """What an issuer answers to a request for its nonce, and this machine's address on the way."""
    asking = _Asking(Origin.of_url(url)[0], peering)
    try:
        nonce = (await asking.ask("GET", _NONCE, None, _Nonce)).nonce
        return await asking.ask("POST", path, request(nonce), JoinAnswer), asking.host
    finally:
        asking.close()


class _Asking:
    """Asks one PoP by which nothing is known of this one yet."""

    def __init__(self, origin: Origin, peering: Peering) -> None:
        self._http = HttpClient(origin, deadlines=_DEADLINES, peering=peering)

    @property
    def host(self) -> str:
        """Address of this machine on the connection."""
        return self._http.local_host

    async def ask(self, method: str, path: str, what: msgspec.Struct | None, kind: type[_T]) -> _T:
        body = b"" if what is None else msgspec.json.encode(what)
        try:
            async with self._http.request(method, path, body) as response:
                answer = await response.read(CALL_BYTES_MAX)
        except HttpError as error:
            raise UpstreamFailedError(str(error)) from None
        if response.status != 200:
            raise refused(answer, _KINDS)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeError):
            raise UpstreamFailedError("its answer is not understood") from None

    def close(self) -> None:
        self._http.close()
