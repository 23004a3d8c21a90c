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

from littoral.adapters.upstreams.target import DEADLINE, SCOPE, VIA
from littoral.adapters.upstreams.upstreams import Neighbourhood
from littoral.node.onward import key_behind
from littoral.node.relay.relay import Relay
from littoral.node.surface import log_defect
from littoral.terms.errors import (
    BadRequestError,
    DeadlineOverError,
    LoopDetectedError,
    NotAllowedError,
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
        who = _Asking(self._pop, member, self._fabric.policy, self._clock).caller
        gate = self._app.gate(who)
        handler = self._joining(
            _below(CONTROL, self._fabric.members(certificate), self._app.handler(who))
        )

        def check(method: str, path: str, headers: Mapping[str, str]) -> None:
            if not path.startswith(CONTROL):
                gate(method, path, headers)

        def admit() -> None:
            if self._clock.unix_ns() >= certificate.expires_unix_s * SECOND:
                raise StrangerError("the certificate has run out", advice="renew it")

        def stays() -> bool:
            return self._fabric.policy(member) is not None

        return Answers(handler, check, _Hot(self._relay, who), admit, stays)

    def _joining(self, otherwise: Handler) -> Handler:
        return _below(JOINING, self._fabric.newcomers, otherwise)


class _Hot:
    """The hot path of one connection."""

    def __init__(self, relay: Relay, who: Who) -> None:
        self._relay = relay
        self._who = who

    def take(self, head: Head, body: bytes, reply: Reply) -> Underway | None:
        """See hot.HotPath."""
        return self._relay.take_from(self._who, head, body, reply)


class _Asking:
    """A member that asks on one connection."""

    def __init__(self, pop: PopId, member: Member, policy: Policy, clock: Clock) -> None:
        self._pop = pop
        self._member = member
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
            return (self._member.pop,)
        if not _POPS.fullmatch(said):
            raise _malformed(VIA)
        via = tuple(PopId(each.strip()) for each in said.split(","))
        if via[-1] != self._member.pop:
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


async def _refuse(request: Request, _: Responder) -> None:
    _stranger(request.method, request.path, request.headers)


def _stranger(_method: str, path: str, _headers: Mapping[str, str]) -> None:
    if not path.startswith(JOINING):
        raise StrangerError("only members of the fabric are answered here")
