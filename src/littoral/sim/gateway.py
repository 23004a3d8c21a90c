"""What a gateway knows of the machines that have one model: old news, as in reality.

Rules
- A PoP tells its state when it has changed, but not more often than `publish_every_s`, and again
  every `publish_at_least_s`; a gateway hears of it half a round trip later. Nothing else is known
  of another PoP, and nothing sooner of one of the same site.
- A gateway counts what it sent itself until a record can tell of it (routing/sends.py), whatever
  the policy.
- Records are those of routing/fleet.py, with a sketch of what the prefix cache has. Rates in them
  are exact, as after long measuring; the rate of writing is that of the moment.
- Who hears what is worked out when somebody looks, not with an event for each gateway: a record
  keeps the one before it, as long as somebody may not have heard the newer one.
"""

from collections.abc import Sequence
from typing import Final

from littoral.routing.fleet import ModelState, PopState, Warmth
from littoral.routing.prefix import CUTS, Sketch, decoded, tokens_at
from littoral.routing.sends import Sends
from littoral.routing.table import Row
from littoral.sim.machine import Engine
from littoral.sim.workload import Request
from littoral.terms.ids import ModelName, PopId
from littoral.terms.values import SECOND, Instant, Kind
from littoral.trust.members import Member

__all__ = ["Cuts", "Pop", "Record", "View", "instant"]

_LATELY: Final = 1 / 64
"""Weight of the newest answer's length in the mean that a record tells."""
_ANSWER_TOKENS: Final = 256.0
"""That mean before the first answer."""
_MASK: Final = 0xFFFFFFFF


def instant(at: float) -> Instant:
    """A moment of the virtual clock in nanoseconds."""
    return Instant(int(at * SECOND))


class Cuts:
    """`prefix.prefixes_of` for prompts that are numbers of blocks and have no text.

    The hash at a cut is made of the block that the cut is in, whose number stands for all of the
    prompt up to the block's end: prompts that part within a block part at its beginning here.
    """

    def __init__(self, block_tokens: int) -> None:
        self._cuts = [
            ((tokens_at(place) - 1) // block_tokens, (2 * place + 1) * 0x9E3779B97F4A7C15)
            for place in range(len(CUTS))
        ]

    def of(self, request: Request) -> tuple[int, ...]:
        """The hash at each cut of its prompt."""
        blocks = request.blocks
        count = len(blocks)
        found = []
        for block, salt in self._cuts:
            if block >= count:
                break
            found.append((((blocks[block] + 1) * salt) >> 29) & _MASK)
        return tuple(found)


class Record:
    """What a PoP said at one moment."""

    __slots__ = ("at", "before", "busy", "kept", "row", "state")

    def __init__(
        self, at: float, state: PopState, kept: frozenset[int], before: "Record | None"
    ) -> None:
        self.at = at
        self.state = state
        self.kept = kept
        """The beginnings of prompts that it says to keep."""
        self.before = before
        model = state.models[0]
        self.busy = model.in_flight + model.waiting
        self.row: Row | None = None
        """Of who reads it without a link between (policies.py)."""

    def kept_tokens(self, prefixes: Sequence[int]) -> int:
        """Tokens of a prompt with these beginnings that it says to keep."""
        kept = self.kept
        for place in range(len(prefixes) - 1, -1, -1):
            if prefixes[place] in kept:
                return tokens_at(place)
        return 0


class Pop:
    """A machine as others know it."""

    __slots__ = (
        "_answer_tokens",
        "_has_read",
        "_kept",
        "_seq",
        "_sketch",
        "_told",
        "due",
        "engine",
        "member",
        "newest",
        "site",
    )

    def __init__(self, engine: Engine, member: Member, site: int) -> None:
        self.engine = engine
        self.member = member
        self.site = site
        self._sketch = Sketch(engine.spec.kv_tokens)
        self._has_read = False
        self.due = False
        """A publication is on its way."""
        self._answer_tokens = _ANSWER_TOKENS
        self._seq = 0
        self._told = b""
        self._kept: frozenset[int] = frozenset()
        self.newest: Record = self.publish(0.0, 0.0)

    def read(self, prefixes: Sequence[int]) -> None:
        """Its engine has read a prompt with these beginnings."""
        self._sketch.read(prefixes)
        self._has_read = True

    def restarted(self) -> None:
        """Its engine keeps nothing any more."""
        self._sketch.clear()
        self._has_read = True

    def answered(self, tokens: int) -> None:
        """An answer of this length is over."""
        self._answer_tokens += (tokens - self._answer_tokens) * _LATELY

    def publish(self, now: float, heard_by_all_s: float) -> Record:
        """Tell all; a record that nobody can need any more is forgotten.

        Args:
            now: the moment.
            heard_by_all_s: how long a record takes at most to be heard.
        """
        engine, spec = self.engine, self.engine.spec
        self._seq += 1
        if self._has_read:
            self._has_read = False
            self._told = self._sketch.told()
            self._kept = decoded(self._told)
        model = ModelState(
            name=ModelName(spec.model),
            kinds=(Kind.CHAT,),
            warmth=_warmth(engine, now),
            slots=spec.slots,
            in_flight=engine.in_flight,
            waiting=engine.waiting,
            queued_tokens=engine.unread(now),
            prefill_tps=spec.prefill_tps,
            decode_tps=engine.rate,
            answer_tokens=self._answer_tokens,
            load_s=spec.load_s,
            prefixes=self._told,
        )
        state = PopState(self.member.pop, 1, self._seq, url="https://simulated", models=(model,))
        before = self.newest if self._seq > 1 else None
        if before is not None and before.at + heard_by_all_s <= now:
            before.before = None
        self.newest = Record(now, state, self._kept, before)
        return self.newest


def _warmth(engine: Engine, now: float) -> Warmth:
    if engine.loading(now):
        return Warmth.LOADING
    return Warmth.WARM if engine.warm else Warmth.COLD


class View:
    """What the gateway of one site knows of the PoPs that have one model."""

    __slots__ = ("again_s", "here", "known", "number", "one_way_s", "pops", "sends")

    def __init__(
        self,
        number: int,
        here: Member,
        pops: Sequence[tuple[int, Pop]],
        one_way_s: Sequence[float],
        again_s: float,
    ) -> None:
        """Nothing heard yet.

        Args:
            number: of this view.
            here: who looks.
            pops: those that can be reached, each with its number.
            one_way_s: half a round trip to each.
            again_s: how often a PoP tells its state though nothing has changed.
        """
        self.number = number
        self.here = here
        self.pops = pops
        self.one_way_s = one_way_s
        self.again_s = again_s
        self.sends = Sends()
        self.known: list[Record] = [pop.newest for _, pop in pops]

    def look(self, now: float) -> None:
        """Take in what has come by now."""
        known = self.known
        told: dict[PopId, tuple[float, float]] = {}
        own = self.sends.own
        for place, (_, pop) in enumerate(self.pops):
            record = pop.newest
            if record is known[place]:
                continue
            by = now - self.one_way_s[place]
            while record.at > by and record.before is not None:
                record = record.before
            if record is not known[place]:
                known[place] = record
                if pop.member.pop in own:
                    told[pop.member.pop] = (record.at, self.one_way_s[place])
        for name, (at, one_way_s) in told.items():
            self.sends.heard(name, instant(at + one_way_s), 2 * one_way_s)
