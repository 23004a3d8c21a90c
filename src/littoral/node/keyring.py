"""Who may ask, and how much: the stored keys, their budgets, and this run's own local key.

Two books together: keys and day usage lie in the store (another process may add or revoke keys at
any moment), what was used in the last minute lies in memory.
"""

from littoral.adapters.store import Store
from littoral.terms.ids import KeyId
from littoral.terms.ports import Clock
from littoral.terms.values import SECOND, Caller
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, check, key_id_of, make_key
from littoral.trust.limits import Budgets, Refusal, Reservation, utc_day

__all__ = ["Keyring"]


class Keyring:
    """The keys of one PoP."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._keys = store.keys
        self._clock = clock
        self._budgets = Budgets()
        day = utc_day(self._unix_s())
        self._budgets.restore(day, store.receipts.tokens_of_day(day))
        self._local, self.local_key = make_key(
            clock.random_bytes(KEY_RANDOM_BYTES),
            name="this machine",
            unix_s=self._unix_s(),
            grant=Grant(operator=True),
        )
        """An operator key for commands on this machine; it is worth nothing after this run."""

    def make_first(self) -> str | None:
        """The very first API key, an operator's, if there has never been one; else None."""
        if self._keys.list():
            return None
        record, token = make_key(
            self._clock.random_bytes(KEY_RANDOM_BYTES),
            name="first",
            unix_s=self._unix_s(),
            grant=Grant(operator=True),
        )
        self._keys.add(record)
        return token

    def authenticate(self, token: str | None) -> Caller:
        """Who holds this key.

        Raises:
            KeyMissingError: nothing was sent.
            KeyRejectedError: the key is unknown, false, expired or revoked.
        """
        if token is not None and key_id_of(token) == self.local_key_id:
            return check(self._local, token, self._unix_s())
        return self._keys.authenticate(token, self._unix_s())

    @property
    def local_key_id(self) -> KeyId:
        """The public half of this run's local key."""
        return self._local.key_id

    def reserve(self, caller: Caller, tokens: int) -> Reservation:
        """Count a request and hold room for the most tokens that it may use.

        Raises:
            RateLimitedError, BudgetExhaustedError: there is no room.
        """
        outcome = self._budgets.reserve(caller, tokens, self._clock.now(), self._unix_s())
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return outcome

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Charge what was really used."""
        self._budgets.settle(reservation, tokens, self._clock.now(), self._unix_s())

    def release(self, reservation: Reservation) -> None:
        """Charge no tokens."""
        self._budgets.release(reservation)

    def headers(self, caller: Caller) -> dict[str, str]:
        """What is left of the caller's limits, in the headers that OpenAI's clients know."""
        return self._budgets.headers(caller, self._clock.now(), self._unix_s())

    def _unix_s(self) -> int:
        return self._clock.unix_ns() // SECOND
