"""A mover is told of whom it may deal with, as they are now, and of nobody else."""

from dataclasses import replace

from littoral.node.config import load_config
from littoral.node.delivery.telling import listen_of, told_of
from littoral.node.delivery.words import Dealing, ListenTold
from littoral.routing.fleet import Fleet, Known, PopState
from littoral.terms.values import Instant
from tests.node.delivery.made import member, offer, pop

ME = pop(5)
OFFER = offer("blake3:" + "ab" * 32)


def known(number: int, *, own: bool = True, alive: bool = True, mover: str = "h:1") -> Known:
    state = PopState(pop(number), 1, 1, mover=mover, deliveries=(OFFER,))
    return Known(member(pop(number), own=own), state, Instant(0), alive)


def test_those_are_told_who_live_and_may_be_dealt_with() -> None:
    all_of_them = (known(5), known(1), known(2, own=False), known(3, alive=False), known(4))
    ways = {pop(2): Dealing(gives=False), pop(4): Dealing(gets=False, gives=False)}
    fleet = Fleet({each.member.pop: each for each in all_of_them})
    listen = ListenTold("127.0.0.1", 0, "127.0.0.1", "")
    told = told_of(
        fleet, member(ME), lambda each: ways.get(each.pop, Dealing()), listen, (b"wished",)
    )
    assert told.site == member(ME).site
    assert (told.listen, told.wished) == (listen, (b"wished",))
    assert [(each.pop, each.own) for each in told.peers] == [(pop(1), True), (pop(2), False)]
    assert [each.dealing for each in told.peers] == [Dealing(), Dealing(gives=False)]
    assert told.peers[0].address == "h:1"
    assert told.peers[0].deliveries == (OFFER,)


def test_it_listens_where_others_reach_the_pop_and_nowhere_if_they_do_not() -> None:
    config = replace(load_config({}, {}), mover_port=7403, mover_address="")
    assert listen_of(config, "0.0.0.0", "") is None
    listen = listen_of(config, "0.0.0.0", "https://192.0.2.7:7401")
    assert listen == ListenTold("0.0.0.0", 7403, "192.0.2.7", "")
    outside = replace(config, mover_address="198.51.100.9:17403")
    listen = listen_of(outside, "0.0.0.0", "https://192.0.2.7:7401")
    assert listen is not None
    assert listen.address == "198.51.100.9:17403"
