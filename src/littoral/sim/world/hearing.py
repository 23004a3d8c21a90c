"""What one PoP in a world says of itself and knows of the others: the real view and choice.

It checks its own side of what records promise: whatever is in the fleet was signed by whom it names
(the world keeps all that was ever signed), and nobody is in it who is known to be revoked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from littoral.node.fabric.saying import due, matter
from littoral.node.fabric.view import FleetView
from littoral.routing.candidates import Needs
from littoral.routing.fleet import Fleet, ModelState, PopState, encoded
from littoral.routing.predict import Wanted, choose
from littoral.routing.sends import Sends
from littoral.routing.table import Table
from littoral.sim.names import Air
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.chance import Chance
from littoral.sim.world.ground import Ground
from littoral.sim.world.identity import Identity, Keys, Owner
from littoral.sim.world.says import Asked
from littoral.terms.facts import Fact, PopBack, PopGone, PopSeen, RecordRejected
from littoral.terms.heard import Heard, Said
from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import SECOND, Kind
from littoral.trust.members import Member
from littoral.trust.records import Card, Record, RecordKind, signed, topic

__all__ = ["Hearing", "Notary"]

_NEEDS: Final = Needs(Kind.CHAT, "chat.completions", stream=True)
_TICK_S: Final = 1.0
_SAY_AT_MOST_S: Final = 0.3
"""How soon after one record the next one is said."""
_RTT_S: Final = 0.05
_SAID: Final = 60


@dataclass(slots=True)
class Notary:
    """What the world knows of keys and records; what PoPs believe is held against it."""

    keys: Keys
    owner: Owner
    said: list[tuple[str, bytes]] = field(default_factory=list)
    """What was said first of all, with its topic: for whoever says it again."""
    states: set[bytes] = field(default_factory=set)
    """Every state that was ever signed by whom it names."""


class Hearing:
    """See the module docstring. One life of it."""

    def __init__(
        self,
        ground: Ground,
        air: Air,
        identity: Identity,
        notary: Notary,
        boot: int,
        models: Callable[[], tuple[ModelState, ...]],
    ) -> None:
        """Be in the fabric from now on.

        Args:
            ground: of the process.
            air: how records travel.
            identity: whose this is.
            notary: the world's.
            boot: greater than in every life before.
            models: what there is to say of the models now.
        """
        self.revoked: list[PopId] = []
        """As heard here, in order."""
        self.obeyed: list[Callable[[PopId], None]] = []
        """Called with each that is revoked, once."""
        self.kept: dict[PopId, bytes] = {}
        """Where words of the owner are kept for the next life."""
        self.draining = False
        self.sends: dict[ModelName, Sends] = {}
        self.lies: Callable[[PopState], PopState] = lambda state: state
        self._ground = ground
        self._air = air
        self._names = air.names(identity.pop)
        self._identity = identity
        self._notary = notary
        self._boot = boot
        self._seq = 0
        self._said: PopState | None = None
        self._said_at = ground.now()
        self._models = models
        self._tables: dict[ModelName, Table] = {}
        self._says = False
        self._numbers: dict[PopId, tuple[int, int]] = {}
        """Boot and number of the latest state that was believed of each."""
        self.quiet = False
        """Say nothing new: the world comes to rest."""
        self.view = FleetView(
            verify=notary.keys.verify,
            check=self._check,
            admissible=lambda member: member.pop not in self.revoked,
            observe=self._observe,
            keeps=lambda _: False,
            passed_on=self._passed_on,
        )
        self.view.watch(self._changed)
        self._names.enter(self._hear)
        card = Card(boot, 1, (identity.certificate,)).encoded()
        self._say(RecordKind.CARD, signed(RecordKind.CARD, card, identity.signer))
        self.say()
        ground.every(_TICK_S, self._tick)

    # --- what it says --------------------------------------------------------------------------

    def say(self) -> None:
        """Say the state as it is now."""
        self._seq += 1
        state = self.lies(self.state())
        self._said, self._said_at = state, self._ground.now()
        self._notary.states.add(encoded(state))
        self._say(RecordKind.STATE, signed(RecordKind.STATE, encoded(state), self._identity.signer))

    def say_two_things(self, pops: Sequence[PopId], chance: Chance) -> None:
        """Sign two states of one number, as a copied home does; all of these hear both."""
        self._seq += 1
        faces = [structs.replace(self.state(), memory_free=free) for free in (1, 2)]
        said = topic(RecordKind.STATE, self._identity.pop)
        for pop in pops:
            chance.shuffle(faces)
            for face in faces:
                self._notary.states.add(encoded(face))
                record = signed(RecordKind.STATE, encoded(face), self._identity.signer)
                if pop == self._identity.pop:
                    self._hear([Said(said, record)])
                else:
                    self._air.whisper(self._identity.pop, pop, said, record)

    def say_soon(self) -> None:
        """Say it in a moment, once for all that changes until then."""
        if not self._says:
            self._says = True
            self._ground.after(_SAY_AT_MOST_S, self._say_now)

    def state(self) -> PopState:
        """As it is now."""
        return PopState(
            pop=self._identity.pop,
            boot=self._boot,
            seq=self._seq,
            url=f"https://{self._ground.host}:7401",
            models=self._models(),
            draining=self.draining,
        )

    def _say_now(self) -> None:
        self._says = False
        self._say_if_due()

    def _say_if_due(self) -> None:
        """Say what there is to say, as soon as it matters enough to others."""
        how_much = matter(self._said, self.lies(self.state()))
        if not self.quiet and due(how_much, self._said_at, self._ground.now()):
            self.say()

    def _say(self, kind: RecordKind, record: bytes, subject: str = "") -> None:
        said = topic(kind, self._identity.pop, subject)
        self._names.say(said, record)
        if len(self._notary.said) < _SAID:
            self._notary.said.append((said, record))
        self._hear([Said(said, record)])

    # --- what it hears -------------------------------------------------------------------------

    def revoke(self, pop: PopId, word: bytes) -> None:
        """The owner said here that a PoP is no member any more: obey, and pass it on."""
        if pop in self.revoked:
            return
        self.revoked.append(pop)
        self.kept[pop] = word
        self._ground.tell(f"hears that {pop} is revoked")
        for obey in self.obeyed:
            obey(pop)
        self.view.recheck(self._unix_s())
        record = signed(RecordKind.ADMISSION, word, self._identity.signer)
        self._say(RecordKind.ADMISSION, record, pop)

    def _hear(self, heard: Sequence[Heard]) -> None:
        self.view.hear(heard, self._ground.now(), self._unix_s())
        self.view.check()

    def _tick(self) -> None:
        self.view.tick(self._ground.now(), self._unix_s())
        self.view.check()
        self._say_if_due()

    def _unix_s(self) -> int:
        return self._ground.unix_ns() // SECOND

    def _check(self, chain: Sequence[bytes], unix_s: int) -> Member:
        return self._notary.owner.check(chain[0], unix_s)

    def _passed_on(self, record: Record) -> None:
        pop = self._notary.owner.revoked(record.payload)
        if pop is not None:
            self.revoke(pop, record.payload)

    def _observe(self, fact: Fact) -> None:
        if isinstance(fact, PopSeen | PopGone | PopBack):
            self._ground.tell(f"{type(fact).__name__} {fact.pop}")
        elif isinstance(fact, RecordRejected):
            self._ground.tell(f"rejects {fact.topic}: {fact.reason}")

    def _changed(self, fleet: Fleet) -> None:
        for pop, known in fleet.pops.items():
            if encoded(known.state) not in self._notary.states:
                raise BrokenError(f"{self._ground.host} believes what {pop} never signed")
            if pop in self.revoked:
                raise BrokenError(f"{self._ground.host} has {pop} in its fleet, which is revoked")
            number = known.state.boot, known.state.seq
            if number < self._numbers.get(pop, number):
                raise BrokenError(f"{self._ground.host} went back to an older state of {pop}")
            self._numbers[pop] = number
        for table in self._tables.values():
            table.update(fleet, {})
        for sends in self.sends.values():
            for pop, known in fleet.pops.items():
                sends.heard(pop, known.heard_at, _RTT_S)

    # --- where a request goes ------------------------------------------------------------------

    def order(self, asked: Asked, model: ModelName, spin: int) -> list[PopId]:
        """The PoPs to ask for a model, best first."""
        table = self._tables.get(model)
        if table is None:
            table = self._tables[model] = Table(model, self._identity.member)
            table.update(self.view.fleet, {})
            self.sends[model] = Sends()
        wanted = Wanted(
            _NEEDS, asked.request.prompt_tokens, answer_tokens=float(asked.request.answer_tokens),
            via=asked.via,
        )  # fmt: skip
        return choose(table, wanted, self.sends[model], self._ground.now(), spin)
