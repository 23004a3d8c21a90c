"""What other PoPs ask of this one: who they are, and what they may.

They ask at a listener of their own, with the paths and bodies of clients, and are told by their
certificates. What is asked then runs as a client's request does.

Rules
- A request is the PoP's whose certificate the connection has; an API key means nothing here. No
  field of a request can say otherwise: the connection's answers are made for its certificate.
- Who has none, or one that has run out, gets nothing but the paths for who wants to join.
- Nothing is allowed that `policy` does not allow, which is asked anew for each request. Who may ask
  nothing any more loses its connections too, with the answers under way on them, as soon as the
  server is told to look again.
- Whose request it is, the PoP that passes it on says in `littoral-scope`. Each scope of each PoP is
  a tenant of its own, with a key id of its own; all PoPs of an owner spend the same limits.
- What comes over a connection that this PoP has dialled, to be asked on it, is passed on by the PoP
  that it chose for that: the request is of whoever that one names (`littoral-for`).
- A request that has been here, or at more PoPs than limits.FABRIC_HOPS_MAX, is refused; so is one
  whose time is over. What is left of its time bounds all that is done for it.
"""

import hashlib
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final

from littoral.adapters.upstreams.target import DEADLINE, FOR, SCOPE, TO, VIA
from littoral.adapters.upstreams.upstreams import Neighbourhood
from littoral.node.fabric.relaying import HOLD, PING, Relaying
from littoral.node.onward import key_behind
from littoral.node.relay.relay import Relay
from littoral.node.surface import log_defect
from littoral.terms.errors import (
    BadRequestError,
    DeadlineOverError,
    LoopDetectedError,
    NotAllowedError,
    NotFoundError,
    StrangerError,
)
from littoral.terms.ids import KeyId, ModelName, OwnerId, PopId
from littoral.terms.limits import FABRIC_HOPS_MAX, FABRIC_SCOPES_KNOWN_MAX
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Caller, Hop, Instant, KeyLimits
from littoral.trust.members import Member
from littoral.web.app import App, Who, requiring
from littoral.web.certificate import Certificate
from littoral.web.head import Head
from littoral.web.hot import Reply, Underway
from littoral.web.http import Handler, HttpBounds, Request, Responder
from littoral.web.listener import Bind, Server, listening
from littoral.web.service import Answers

__all__ = ["CONTROL", "JOINING", "Admission", "Fabric", "Knows", "Neighbours", "Policy"]

CONTROL: Final = "/fabric/"
"""Paths that begin so are between PoPs alone."""
JOINING: Final = "/fabric/join"
"""Every path that begins so is for who is no member yet, too."""

_POPS: Final = re.compile(r"pop-[0-9a-f]{16}(, ?pop-[0-9a-f]{16})*")
_SCOPE: Final = re.compile(r"[0-9a-f]{32}")
_MILLISECONDS: Final = re.compile(r"[0-9]{1,12}")
_KEY_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Admission:
    """What another PoP may ask."""

    limits: KeyLimits = field(default_factory=KeyLimits)
    models: tuple[ModelName, ...] | None = None
    """None is all."""


Knows = Callable[[Certificate], Member | None]
"""Whose certificate this is; None is nobody's who is a member. Looks at the owner's signature, and
not at the name alone, which every owner that is trusted could write."""

Policy = Callable[[Member], Admission | None]
"""What a member may; None is nothing. The same admission is the same object."""


@dataclass(frozen=True, slots=True)
class Fabric:
    """How a PoP is one of several."""

    bind: Bind
    """Where the others ask it."""
    tls: ssl.SSLContext
    """Its certificate, and whose certificates it believes; clients may have none."""
    neighbourhood: Neighbourhood
    """How it asks the others."""
    knows: Knows
    """Who asks; once a connection."""
    policy: Policy
    newcomers: Handler
    """Answers below `JOINING`."""
    members: Callable[[Certificate], Handler]
    """Answers a member below `CONTROL`."""
    relaying: Relaying | None = None
    """Passes on what is for PoPs that can't be dialled."""


class Neighbours:
    """Answers other PoPs."""

    def __init__(self, pop: PopId, fabric: Fabric, *, app: App, relay: Relay, clock: Clock) -> None:
        """Answer nobody yet.

        Args:
            pop: this PoP.
            fabric: what it is told of the others.
            app: answers requests.
            relay: answers hot ones.
            clock: for certificates and deadlines.
        """
        self._pop = pop
        self._fabric = fabric
        self._app = app
        self._relay = relay
        self._clock = clock

    def listening(self, bounds: HttpBounds) -> AbstractAsyncContextManager[Server]:
        """Answer them while the context is open. Raises as `web.listener.listening` does."""
        return listening(
            self.answers,
            self._fabric.bind,
            bounds,
            clock=self._clock,
            on_defect=log_defect,
            tls=self._fabric.tls,
        )

    def answers(self, certificate: Certificate | None) -> Answers:
        """Who answers on a connection whose client has shown this."""
        member = None if certificate is None else self._fabric.knows(certificate)
        if certificate is None or member is None:
            return Answers(self._joining(_refuse), gate=_stranger)
        policy, dialled = self._fabric.policy, certificate.dialled
        asking = _Relayed if dialled else _Asking
        who = asking(self._pop, member, policy, self._clock).caller
        gate = self._app.gate(who)
        members = self._fabric.members(certificate)
        if dialled:
            members = _below(PING, members, _not_relayed)
        handler = self._joining(_below(CONTROL, members, self._app.handler(who)))

        def check(method: str, path: str, headers: Mapping[str, str]) -> None:
            if not path.startswith(CONTROL):
                gate(method, path, headers)

        def admit() -> None:
            if self._clock.unix_ns() >= certificate.expires_unix_s * SECOND:
                raise StrangerError("the certificate has run out", advice="renew it")

        def stays() -> bool:
            return self._fabric.policy(member) is not None

        shown = None if dialled else (member, certificate)
        hot = _Hot(self._relay, who, self._fabric.relaying, shown)
        return Answers(handler, check, hot, admit, stays)

    def _joining(self, otherwise: Handler) -> Handler:
        return _below(JOINING, self._fabric.newcomers, otherwise)


class _Hot:
    """The hot path of one connection."""

    def __init__(
        self,
        relay: Relay,
        who: Who,
        relaying: Relaying | None,
        shown: tuple[Member, Certificate] | None,
    ) -> None:
        self._relay = relay
        self._who = who
        self._relaying = relaying
        self._shown = shown
        """Who may have requests passed on."""

    def take(self, head: Head, body: bytes, reply: Reply) -> Underway | None:
        """See hot.HotPath."""
        if TO in head.headers or head.path == HOLD:
            if self._relaying is None or self._shown is None:
                raise NotFoundError("nothing is passed on from here")
            live = self._relaying.take(*self._shown, self._via, head, body, reply)
            if live is not None:
                return live
        return self._relay.take_from(self._who, head, body, reply)

    def _via(self, headers: Mapping[str, str]) -> tuple[PopId, ...]:
        hop = self._who(headers).hop
        assert hop is not None, "another PoP asks"
        return hop.via


class _Asking:
    """A member that asks on one connection."""

    def __init__(
        self,
        pop: PopId,
        member: Member,
        policy: Policy,
        clock: Clock,
        by: tuple[PopId, ...] = (),
    ) -> None:
        """Args: this PoP, who asks, what it may, a clock, and who passes its requests on."""
        self._pop = pop
        self._member = member
        self._came: tuple[PopId, ...] = (member.pop, *by)
        self._policy = policy
        self._clock = clock
        self._admission: Admission | None = None
        self._callers: dict[str, Caller] = {}
        """By scope, as the admission is now."""

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Whose request these header fields are of.

        Raises:
            NotAllowedError: the member may ask nothing.
            BadRequestError: a field is malformed, or says another PoP than the one that asks.
            LoopDetectedError: the request was here, or at too many PoPs.
            DeadlineOverError: its time is over.
        """
        admission = self._policy(self._member)
        if admission is None:
            raise NotAllowedError(
                f"{self._member.pop} of {self._member.owner} may ask nothing here",
                advice="ask the owner of this PoP to admit it",
            )
        if admission is not self._admission or len(self._callers) >= FABRIC_SCOPES_KNOWN_MAX:
            self._admission, self._callers = admission, {}
        scope = headers.get(SCOPE, "")
        known = self._callers.get(scope)
        if known is None:
            known = self._callers[scope] = self._admitted(admission, scope)
        hop = Hop(self._via(headers), self._until(headers))
        return requiring(replace(known, hop=hop), headers)

    def _admitted(self, admission: Admission, scope: str) -> Caller:
        if scope and not _SCOPE.fullmatch(scope):
            raise _malformed(SCOPE)
        pop = self._member.pop
        tenant = f"{pop}/{scope}"
        return Caller(
            key_id=key_behind(pop, scope),
            name=pop,
            models=admission.models,
            limits=admission.limits,
            tenant=tenant,
            account=_account(self._member.owner),
        )

    def _via(self, headers: Mapping[str, str]) -> tuple[PopId, ...]:
        said = headers.get(VIA)
        if said is None:
            return self._came
        if not _POPS.fullmatch(said):
            raise _malformed(VIA)
        via = tuple(PopId(each.strip()) for each in said.split(","))
        if via[-len(self._came) :] != self._came:
            raise BadRequestError(f"{VIA} does not end with the PoP that asks", param=VIA)
        if self._pop in via:
            raise LoopDetectedError("this request has been here already")
        if len(via) > FABRIC_HOPS_MAX:
            raise LoopDetectedError(f"this request has come through {len(via)} PoPs")
        return via

    def _until(self, headers: Mapping[str, str]) -> Instant | None:
        said = headers.get(DEADLINE)
        if said is None:
            return None
        if not _MILLISECONDS.fullmatch(said):
            raise _malformed(DEADLINE)
        left = int(said) * (SECOND // 1000)
        if not left:
            raise DeadlineOverError("this request came when its time was over")
        return Instant(self._clock.now() + left)


class _Relayed:
    """A member that passes on what others ask, on a connection that was dialled for that."""

    def __init__(self, pop: PopId, member: Member, policy: Policy, clock: Clock) -> None:
        self._pop = pop
        self._member = member
        self._policy = policy
        self._clock = clock
        self._own = _Asking(pop, member, policy, clock)
        self._behind: dict[str, _Asking] = {}

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """As `_Asking`, of the PoP that is named, or else of the one that passes it on.

        Raises:
            As `_Asking`; IdentityError: the name is none.
        """
        name = headers.get(FOR)
        if name is None:
            return self._own.caller(headers)
        known = self._behind.get(name)
        if known is None:
            if len(self._behind) >= FABRIC_SCOPES_KNOWN_MAX:
                self._behind.clear()
            asks, by = Member.of_name(name), (self._member.pop,)
            known = _Asking(self._pop, asks, self._policy, self._clock, by)
            self._behind[name] = known
        return known.caller(headers)


def _account(owner: OwnerId) -> KeyId:
    """Whose limits all PoPs of an owner spend."""
    return KeyId(f"o{hashlib.sha256(owner.encode()).hexdigest()[:_KEY_DIGITS]}")


def _malformed(field: str) -> BadRequestError:
    return BadRequestError(f"{field} is malformed", param=field)


def _below(start: str, handler: Handler, otherwise: Handler) -> Handler:
    """Paths that begin so go to one handler, all others to the other."""

    async def handle(request: Request, responder: Responder) -> None:
        await (handler if request.path.startswith(start) else otherwise)(request, responder)

    return handle


async def _not_relayed(request: Request, _: Responder) -> None:
    raise NotFoundError(f"{request.path[:200]} is not asked over another PoP")


async def _refuse(request: Request, _: Responder) -> None:
    _stranger(request.method, request.path, request.headers)


def _stranger(_method: str, path: str, _headers: Mapping[str, str]) -> None:
    if not path.startswith(JOINING):
        raise StrangerError("only members of the fabric are answered here")
