"""The budgets of one PoP in a world: the real ones, and a tally of what is held."""

from typing import Final

from littoral.sim.world.broken import BrokenError
from littoral.sim.world.ground import Ground
from littoral.terms.values import SECOND, Caller
from littoral.trust.accounts import words_for
from littoral.trust.limits import UNMETERED, Budgets, Refusal, Reservation

__all__ = ["Till"]

_KEYS: Final = 16


class Till:
    """See the module docstring."""

    def __init__(self, ground: Ground) -> None:
        """Nobody has spent anything."""
        self.held: list[Reservation] = []
        self._ground = ground
        self._budgets = Budgets([0] * words_for(_KEYS))

    def reserve(self, caller: Caller, tokens: int) -> Reservation:
        """Hold so many tokens of the caller's.

        Raises:
            RateLimitedError, BudgetExhaustedError: there is no room.
        """
        now, unix_s = self._ground.now(), self._ground.unix_ns() // SECOND
        outcome = self._budgets.reserve(caller, tokens, now, unix_s)
        if isinstance(outcome, Refusal):
            raise outcome.error()
        if outcome is not UNMETERED:
            self.held.append(outcome)
            self._budgets.check()
        return outcome

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """So many were used."""
        self._let_go(reservation)
        now, unix_s = self._ground.now(), self._ground.unix_ns() // SECOND
        self._budgets.settle(reservation, tokens, now, unix_s)

    def release(self, reservation: Reservation) -> None:
        """None were."""
        self._let_go(reservation)
        self._budgets.release(reservation)

    def check(self) -> None:
        """Assert that the budgets hold what they were asked to."""
        self._budgets.check()

    def _let_go(self, reservation: Reservation) -> None:
        if reservation is UNMETERED:
            return
        if reservation not in self.held:
            raise BrokenError("what is settled was not held")
        self.held.remove(reservation)
