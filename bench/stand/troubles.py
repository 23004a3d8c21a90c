"""One file to all PoPs of a lab with real movers: as it should go, and with what goes wrong.

Nobody has its manifest at first. Each function takes a lab, the file, and the seconds that links
take at least; times that it gives are from when a PoP began.
"""

import os
import signal
import time
from collections.abc import Sequence

from bench.stand.deliveries import END_WAIT_S, Course, Goods, course
from bench.stand.lab import Lab
from bench.stand.movers import Seat
from bench.stand.native import StandError

__all__ = ["joined_late", "killed", "lied_to", "stalled", "together"]

LIAR = 3
_LOOK_S = 0.1


def together(lab: Lab, given: Goods, _bound_s: float) -> dict[str, float]:
    """All begin at once, and nothing happens."""
    with course(lab, given) as run:
        run.begin(run.seats)
        return run.end(run.seats)


def killed(lab: Lab, given: Goods, bound_s: float) -> dict[str, float]:
    """The mover of the PoP that deals is killed at half time; the figures are those of the rest."""
    with course(lab, given) as run:
        victim, others = _dealer_and_others(run)
        run.begin(run.seats)
        run.sleep_until(bound_s / 2)
        run.company.kill(victim)
        return run.end(others)


def joined_late(lab: Lab, given: Goods, bound_s: float) -> dict[str, float]:
    """One begins at half time; its figures, from then on, are those given."""
    with course(lab, given) as run:
        *early, late = run.seats
        run.begin(early)
        run.sleep_until(bound_s / 2)
        run.begin([late])
        taken = run.end(run.seats)
        return {**taken, "last_s": run.took_s(late)}


def lied_to(lab: Lab, given: Goods, _bound_s: float) -> dict[str, float]:
    """One gives wrong bytes for some chunks.

    Raises:
        StandError: nobody noticed, or another was blamed.
    """
    with course(lab, given, LIAR) as run:
        run.begin(run.seats)
        taken = run.end(run.seats)
        blamed = [name for seat in run.seats for name in seat.blamed]
        if set(blamed) != {run.seats[LIAR].member.pop}:
            raise StandError(f"blamed: {sorted(set(blamed))}")
        return {**taken, "wrong_chunks": len(blamed)}


def stalled(lab: Lab, given: Goods, bound_s: float) -> dict[str, float]:
    """The mover of the PoP that deals stands still from half time on, with its connections open."""
    with course(lab, given) as run:
        victim, others = _dealer_and_others(run)
        run.begin(run.seats)
        run.sleep_until(bound_s / 2)
        os.kill(victim.pid, signal.SIGSTOP)
        stopped_s = time.perf_counter()
        pause_s = _longest_pause_s(others)
        taken = run.end(others)
        os.kill(victim.pid, signal.SIGCONT)
        name = victim.member.pop
        since = [_since(seat, name, stopped_s) for seat in others]
        replaced = {"replaced_s": max(map(min, filter(None, since)))} if any(since) else {}
        return {**taken, "pause_s": pause_s, **replaced}


def _since(seat: Seat, name: str, began_s: float) -> list[float]:
    """When it asked others than this one, in seconds from then on."""
    return [at - began_s for at, who in seat.replaced if who == name and at > began_s]


def _longest_pause_s(seats: Sequence[Seat]) -> float:
    """The longest that anything stood still on one of these, until all have all.

    Raises:
        StandError: they have not in END_WAIT_S.
    """
    lines = [seat.line() for seat in seats]
    now_s = time.perf_counter()
    deadline = now_s + END_WAIT_S
    here, since_s = [-1] * len(seats), [now_s] * len(seats)
    longest_s = 0.0
    while any(seat.whole_at_s is None for seat in seats):
        for number, (seat, line) in enumerate(zip(seats, lines, strict=True)):
            shown, now_s = seat.pulled(line), time.perf_counter()
            if shown.stage.over or shown.here_bytes != here[number]:
                here[number], since_s[number] = shown.here_bytes, now_s
            elif shown.here_bytes < shown.size_bytes:
                longest_s = max(longest_s, now_s - since_s[number])
        if now_s > deadline:
            raise StandError("others were not done in time")
        time.sleep(_LOOK_S)
    return longest_s


def _dealer_and_others(run: Course) -> tuple[Seat, list[Seat]]:
    """Who deals where all begin at once, and the rest."""
    dealer = min(run.seats, key=lambda seat: seat.member.pop)
    return dealer, [seat for seat in run.seats if seat is not dealer]
