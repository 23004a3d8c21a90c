"""A PoP that lies: what it says of itself, what it says in the name of others, and what it answers.

It has its own key and no other: nothing that it makes is signed by anybody else. It answers its own
clients honestly, and others' when it feels like it.
"""

from typing import Final

import msgspec
from msgspec import structs

from littoral.routing.fleet import PopState, encoded
from littoral.sim.world.chance import Chance
from littoral.sim.world.line import End
from littoral.sim.world.pop import Pop, Surroundings
from littoral.sim.world.says import Asked, Begins, Garbage, Status, Token
from littoral.terms.ids import PopId
from littoral.terms.ports import Signer
from littoral.trust.names import pop_id
from littoral.trust.records import Card, RecordKind, decoded, signed, topic

__all__ = ["Liar"]

_BREAKS_AFTER_S: Final = 0.4
_FORGETS_AFTER_S: Final = 20.0
_STRANGERS: Final = 40


class _Mask:
    """A signer who says to have another's key."""

    def __init__(self, signer: Signer, public_key: bytes) -> None:
        self._signer = signer
        self._public_key = public_key

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message)


class Liar:
    """Makes a PoP lie, until it is told to stop."""

    def __init__(self, around: Surroundings, pop: Pop, others: list[Pop], chance: Chance) -> None:
        """Begin.

        Args:
            around: the world.
            pop: the PoP that lies.
            others: those that it lies to and about.
            chance: its own.
        """
        self._around = around
        self._pop = pop
        self._others = others
        self._chance = chance
        pop.lies = self._idle
        pop.deceive = self._deceive
        if pop.process is not None:
            pop.process.hearing.lies = self._idle

    def stop(self) -> None:
        """Be honest from now on."""
        self._pop.deceive = None
        self._pop.lies = _as_it_is
        if self._pop.process is not None:
            self._pop.process.hearing.lies = _as_it_is

    def whisper(self) -> None:
        """Say something that is not so to some of the others, if there is a process to say it."""
        if self._pop.process is not None:
            whispers = [self._forge, self._replay, self._two_faces, self._strangers, self._revoke]
            self._chance.one_of(whispers)()

    # --- of itself -----------------------------------------------------------------------------

    def _idle(self, state: PopState) -> PopState:
        """Never anything to do, and as quick as nobody."""
        models = [
            structs.replace(model, in_flight=0, waiting=0, slots=1_000, prefill_tps=1e6)
            for model in state.models
        ]
        return structs.replace(state, models=tuple(models))

    def _two_faces(self) -> None:
        """Two states of one number."""
        assert self._pop.process is not None
        pops = [other.pop for other in self._others]
        self._pop.process.hearing.say_two_things(pops, self._chance)

    # --- of others -----------------------------------------------------------------------------

    def _forge(self) -> None:
        """A state or card of another PoP, newer than all of its own."""
        victim = self._chance.one_of(self._others)
        card = self._chance.happens(0.3)
        kind = RecordKind.CARD if card else RecordKind.STATE
        payload = encoded(PopState(victim.pop, boot=2**60, seq=1, draining=True))
        if card:
            payload = Card(2**60, 1, (self._pop.identity.certificate,)).encoded()
        signer = self._pop.identity.signer
        record = signed(kind, payload, _Mask(signer, victim.identity.signer.public_key))
        if self._chance.happens(0.5):
            unmasked = structs.replace(decoded(record), public_key=signer.public_key)
            record = msgspec.msgpack.encode(unmasked)
        self._tell_all(topic(kind, victim.pop), record)

    def _strangers(self) -> None:
        """Many PoPs that nobody has admitted."""
        for number in range(_STRANGERS):
            seed = f"{self._pop.host} {number} {self._chance.bits()}".encode()
            signer = self._around.notary.keys.make(seed)
            pop = pop_id(signer.public_key)
            state = encoded(PopState(pop, boot=1, seq=1))
            record = signed(RecordKind.STATE, state, signer)
            self._tell_all(topic(RecordKind.STATE, pop), record)

    def _revoke(self) -> None:
        """The owner's word that nobody gave."""
        victim = self._chance.one_of(self._others)
        said = f"revoked {victim.pop}".encode()
        word = said + self._pop.identity.signer.sign(said)
        record = signed(RecordKind.ADMISSION, word, self._pop.identity.signer)
        self._tell_all(topic(RecordKind.ADMISSION, self._pop.pop, victim.pop), record)

    def _replay(self) -> None:
        """What somebody said long ago."""
        archive = self._around.notary.said
        for _ in range(min(4, len(archive))):
            self._tell_all(*self._chance.one_of(archive))

    def _tell_all(self, said: str, record: bytes) -> None:
        for other in self._others:
            self._tell(other, said, record)

    def _tell(self, other: Pop, said: str, record: bytes) -> None:
        self._around.air.whisper(self._pop.pop, other.pop, said, record)

    # --- what it answers -----------------------------------------------------------------------

    def _deceive(self, end: End, asked: Asked) -> bool:
        """Answer another PoP's request, or rather not."""
        process = self._pop.process
        if not asked.via or process is None or self._chance.happens(0.3):
            return False
        how = self._chance.one_of(["garbage", "breaks off", "no model", "silent", "in circles"])
        process.ground.tell(f"deceives about {asked.request.number}: {how}")
        match how:
            case "garbage":
                end.say(Garbage())
            case "breaks off":
                end.say(Begins())
                for index in range(self._chance.below(asked.request.answer_tokens + 1)):
                    end.say(Token(f"liar {self._pop.host}", asked.request.number, index))
                if self._chance.happens(0.5):
                    end.say(Garbage())
                process.ground.after(_BREAKS_AFTER_S, end.close)
            case "no model":
                end.say(Status(404))
                end.close()
            case "in circles":
                self._around_again(asked, asked.via[0])
            case _:
                pass
        return True

    def _around_again(self, asked: Asked, first: PopId) -> None:
        """Send the request back to where it began, and drop whatever comes of it."""
        process = self._pop.process
        assert process is not None
        end = process.call(first)
        end.say(structs.replace(asked, via=(*asked.via, self._pop.pop)))
        process.ground.after(_FORGETS_AFTER_S, end.close)


def _as_it_is(state: PopState) -> PopState:
    return state
