"""One Zenoh session of a PoP, with all that it declares. The only module that touches Zenoh.

Importing it costs 30 MB, so it is imported by whoever opens a session. All of it may block, and is
called on one thread; callbacks come on threads of Zenoh's.

Keys
- `littoral/KIND/MAKER/SUBJECT`: a record is put there when it is said. Whoever asks for
  `littoral/*/MAKER/*` is answered by its maker with all that it says now.
- `littoral/alive/POP/SESSION`: a liveliness token of each session of a PoP.

Whoever sees a token asks its PoP for what it says, and again with growing pauses while it sees it.
For a record that is put while a link comes up may be put before the other side's subscription is
known, and then is lost. Zenoh's own history (its advanced subscriber) is not used: where links come
up while a session is being opened it left records out for good.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import zenoh

from littoral.adapters.fabric.inbox import Inbox
from littoral.adapters.fabric.lingering import linger_no_more
from littoral.adapters.fabric.place import ROOT, FabricPlace, Role, configuration
from littoral.adapters.fabric.presence import Presence
from littoral.terms.errors import ConfigError, IdentityError, OperatorError, PortInUseError
from littoral.terms.heard import Said
from littoral.terms.ids import PopId
from littoral.terms.limits import FABRIC_ASK_WAIT_S, FLEET_POPS_MAX, RECORD_BYTES_MAX

__all__ = ["FabricSession"]

zenoh.init_log_from_env_or("off")

_ALIVE: Final = f"{ROOT}/alive/"
_POLL_S: Final = 0.02


class FabricSession:
    """A session that is open from its making until `close`."""

    def __init__(
        self,
        pop: PopId,
        place: FabricPlace,
        inbox: Inbox,
        presence: Presence,
        *,
        connect: tuple[str, ...] = (),
        role: Role = Role.LISTENS,
    ) -> None:
        """Open it; nothing is declared yet.

        Raises:
            PortInUseError, IdentityError, ConfigError: it can't be opened.
        """
        self._pop = pop
        self._inbox = inbox
        self._presence = presence
        self._role = role
        self._hears = True
        text = json.dumps(configuration(place, connect=connect, role=role))
        try:
            self._session = zenoh.open(zenoh.Config.from_json5(text))
        except zenoh.ZError as error:
            raise _translated(str(error), place) from None
        self.name = str(self._session.info.zid())
        """What the others call this session."""
        self._linked = self._session.info.declare_link_events_listener(_link_event, history=True)
        self.asked_by: set[PopId] = set()
        """Who says to have seen this session, and asked for what is said."""

    def declare(
        self, said: Callable[[], Mapping[str, bytes]], met: Callable[[PopId, str], None]
    ) -> None:
        """Hear others, answer them, and then be seen; whoever overhears only hears.

        Args:
            said: all that this PoP says now, by topic. Called on any thread.
            met: takes a PoP and the name of a session of it that is seen from now on, on any
                thread; it is to be asked (`ask`).
        """
        session, speaks = self._session, self._role is not Role.OVERHEARS
        remote, liveliness = zenoh.Locality.REMOTE, session.liveliness()
        self._declared: list[object] = [
            session.declare_subscriber(f"{ROOT}/*/*/*", self._record, allowed_origin=remote)
        ]
        if speaks:
            own, answer = f"{ROOT}/*/{self._pop}/*", partial(self._answer, said)
            self._declared.append(
                session.declare_queryable(own, answer, complete=True, allowed_origin=remote)
            )
        life = partial(self._life, met)
        self._declared.append(liveliness.declare_subscriber(f"{_ALIVE}*/*", life, history=True))
        if speaks:
            self._declared.append(liveliness.declare_token(f"{_ALIVE}{self._pop}/{self.name}"))

    def _answer(self, said: Callable[[], Mapping[str, bytes]], query: zenoh.Query) -> None:
        with query:
            if query.parameters.get("session") == self.name:
                by = query.parameters.get("by")
                if by is not None and len(self.asked_by) < 2 * FLEET_POPS_MAX:
                    self.asked_by.add(PopId(by))
            for topic, record in said().items():
                key = f"{ROOT}/{topic}"
                if query.key_expr.intersects(key):
                    query.reply(key, record)

    def _life(self, met: Callable[[PopId, str], None], sample: zenoh.Sample) -> None:
        pop, _, name = str(sample.key_expr).removeprefix(_ALIVE).partition("/")
        if not self._hears or pop == self._pop:
            return
        token = (self.name, name)
        if sample.kind == zenoh.SampleKind.PUT:
            self._presence.seen(PopId(pop), token)
            met(PopId(pop), name)
        else:
            self._presence.lost(PopId(pop), token)

    def say(self, topic: str, record: bytes) -> None:
        """Say this to all who are there.

        Raises:
            OSError: Zenoh could not.
        """
        block = zenoh.CongestionControl.BLOCK
        try:
            self._session.put(f"{ROOT}/{topic}", record, congestion_control=block)
        except zenoh.ZError as error:
            raise OSError(str(error)) from None

    def ask(self, pop: PopId, name: str, again: Callable[[bool], None]) -> None:
        """Ask this PoP for all that it says.

        Args:
            pop: whom.
            name: the session of it that was seen.
            again: called on any thread once it has answered, or the time is over, if that session
                is still seen; with whether anything was answered.
        """
        answered = False

        def take(reply: zenoh.Reply) -> None:
            nonlocal answered
            if reply.ok is not None:
                answered = True
                self._record(reply.ok)

        def over() -> None:
            if self._hears and self._presence.is_seen(pop, (self.name, name)):
                again(answered)

        with contextlib.suppress(zenoh.ZError):
            self._session.get(
                f"{ROOT}/*/{pop}/*?session={name};by={self._pop}",
                zenoh.handlers.Callback(take, over),
                target=zenoh.QueryTarget.ALL,
                consolidation=zenoh.ConsolidationMode.NONE,
                timeout=FABRIC_ASK_WAIT_S,
            )

    def links(self) -> int:
        """How many others there is a link to."""
        info = self._session.info
        return len(info.peers_zid()) + len(info.routers_zid())

    def dialled(self) -> tuple[str, ...]:
        """The addresses of those, where it is this one that dialled all of them."""
        if self._role is Role.LISTENS:
            return ()
        return tuple(link.dst for link in self._session.info.links())

    def stand_in_for(self, other: "FabricSession", wait_s: float) -> None:
        """Wait until whoever the other session sees is seen here and has seen this one."""
        pause = threading.Event()
        for _ in range(int(wait_s / _POLL_S)):
            seen = self._presence.of(other.name)
            if self._presence.of(self.name) >= seen and self.asked_by >= seen:
                return
            pause.wait(_POLL_S)

    def close(self) -> None:
        """End it; others hear at once that it left."""
        self._hears = False
        with contextlib.suppress(zenoh.ZError):
            self._session.close()  # type: ignore[no-untyped-call]
        self._presence.left(self.name)

    def _record(self, sample: zenoh.Sample) -> None:
        topic = str(sample.key_expr).removeprefix(f"{ROOT}/")
        if self._hears and f"/{self._pop}/" not in topic and sample.kind == zenoh.SampleKind.PUT:
            # One byte too many is kept, so that what is too large is seen to be.
            record = sample.payload.to_bytes()[: RECORD_BYTES_MAX + 1]
            self._inbox.put(topic, Said(topic, record))


def _link_event(event: zenoh.LinkEvent) -> None:
    """A link is there, or gone."""
    if event.kind == zenoh.SampleKind.PUT:
        linger_no_more()


def _translated(text: str, place: FabricPlace) -> OperatorError:
    """What Zenoh said, as an error of ours; of where in its source it says nothing."""
    text = text.partition(" at /")[0]
    if "in use" in text:
        return PortInUseError(f"something else listens on {place.endpoint}")
    for path in (place.chain, place.key, place.roots):
        if not path.is_file():
            return IdentityError(f"there is no {path.name} for the fabric")
    if "TLS" in text or "certificate" in text:
        return IdentityError(f"the certificate for the fabric can't be used ({text[:200]})")
    return ConfigError(f"the fabric can't be opened on {place.endpoint} ({text[:200]})")
