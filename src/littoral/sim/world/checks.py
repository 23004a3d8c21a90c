"""What must hold of a whole world, when it has come to rest.

What must hold at any time is asserted where it happens: `check` of every machine after every event,
and what the simulated parts see themselves.
"""

from collections.abc import Iterable, Sequence

from littoral.routing.fleet import PopState
from littoral.sim.world.broken import BrokenError
from littoral.sim.world.client import Client, Outcome
from littoral.sim.world.pop import Pop, Process
from littoral.terms.ids import PopId

__all__ = ["all_answered", "all_ended", "all_idle", "all_know_the_same", "all_obey"]


def all_ended(clients: Iterable[Client]) -> None:
    """Each request has ended (that it did so once, its client asserts)."""
    for client in clients:
        if client.outcome is None:
            raise BrokenError(f"the request of {client.host} never ends")


def all_answered(clients: Iterable[Client]) -> None:
    """Requests that came after all faults, for models that somebody has, were answered."""
    for client in clients:
        if client.outcome is not Outcome.ANSWERED:
            how = client.outcome.value if client.outcome else "never answered"
            raise BrokenError(
                f"{client.host} asked after the faults and is {how} {client.status or ''}"
            )


def all_idle(pops: Iterable[Pop]) -> None:
    """Nothing is held any more: no slot, no budget, no ticket, no attempt, no line."""
    for process in _processes(pops):
        process.check()
        process.check_idle()


def all_know_the_same(pops: Sequence[Pop], revoked: Sequence[Pop]) -> None:
    """All members have equal fleets, of all members as they are now (I7)."""
    members = [pop for pop in pops if pop not in revoked]
    fleets = {pop.host: _fleet(pop) for pop in members}
    expected = {pop.pop for pop in members}
    first = fleets[members[0].host]
    for host, fleet in fleets.items():
        if fleet.keys() != expected:
            raise BrokenError(f"{host} knows {sorted(fleet)} of {sorted(expected)}")
        if fleet != first:
            differ = [pop for pop in fleet if fleet[pop] != first[pop]]
            raise BrokenError(f"{host} and {members[0].host} have other states of {differ}")
        if not all(alive for _, _, alive in fleet.values()):
            raise BrokenError(f"{host} takes members for gone that are there: {fleet}")


def all_obey(pops: Sequence[Pop], revoked: Sequence[Pop]) -> None:
    """Every member has heard of every revocation, and of none that the owner did not say."""
    for pop in pops:
        for process in _processes([pop]):
            heard = set(process.hearing.revoked)
            if pop not in revoked and heard != {each.pop for each in revoked}:
                raise BrokenError(f"{pop.host} has heard that these are revoked: {sorted(heard)}")


def _fleet(pop: Pop) -> dict[PopId, tuple[str, PopState, bool]]:
    (process,) = _processes([pop])
    return {
        name: (known.member.name, known.state, known.alive)
        for name, known in process.hearing.view.fleet.pops.items()
    }


def _processes(pops: Iterable[Pop]) -> list[Process]:
    return [pop.process for pop in pops if pop.process is not None]
