"""PoPs and requests for tests of the choice among PoPs."""

from collections.abc import Mapping
from dataclasses import dataclass

from littoral.routing.candidates import Needs
from littoral.routing.fleet import Fleet, Known, ModelState, PopState, Tier
from littoral.routing.sends import Sends
from littoral.routing.table import Table
from littoral.terms.ids import ModelName, OwnerId, PopId, SiteName, ZoneName
from littoral.terms.values import SECOND, Instant, Kind
from littoral.trust.members import Member

MODEL = ModelName("model")
NEEDS = Needs(Kind.CHAT, "chat.completions")
NOW = Instant(1_000 * SECOND)
NONE = Sends()


@dataclass
class Clock:
    """One that stands still unless it is set; its chance is what is said."""

    at: Instant = NOW
    drawn: int = 0

    def now(self) -> Instant:
        return self.at

    def unix_ns(self) -> int:
        return 0

    def random_bytes(self, count: int) -> bytes:
        return self.drawn.to_bytes(count, "little")


def name(number: int) -> PopId:
    return PopId(f"pop-{number:016x}")


def member(
    number: int, *, zone: str = "fr", site: str = "paris", owner: str = "own-0000000000000001"
) -> Member:
    return Member(OwnerId(owner), ZoneName(zone), SiteName(site), name(number))


def model(**said: object) -> ModelState:
    """A warm model that reads 1,000 and writes 50 tokens a second, on four slots."""
    usual: dict[str, object] = {
        "slots": 4,
        "prefill_tps": 1_000.0,
        "decode_tps": 50.0,
        "answer_tokens": 100.0,
        "load_s": 8.0,
    }
    return ModelState(MODEL, (Kind.CHAT,), **{**usual, **said})  # type: ignore[arg-type]


def pop(
    number: int,
    said: ModelState | None = None,
    *,
    who: Member | None = None,
    alive: bool = True,
    heard_at: Instant = NOW,
    **state: object,
) -> Known:
    usual: dict[str, object] = {"url": "https://pop", "tier": Tier.CONFIDENTIAL}
    record = PopState(name(number), 1, 1, models=(said or model(),), **{**usual, **state})  # type: ignore[arg-type]
    return Known(who or member(number), record, heard_at, alive)


def table(*pops: Known, links: Mapping[PopId, float] | None = None) -> Table:
    """The table of the PoP with number 0; all others are 10 ms away where nothing else is said."""
    made = Table(MODEL, member(0))
    usual = {known.state.pop: 0.01 for known in pops}
    made.update(
        Fleet({known.state.pop: known for known in pops}), usual if links is None else links
    )
    return made
