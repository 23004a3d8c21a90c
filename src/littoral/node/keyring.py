"""Who may ask, and how much: the stored keys, their budgets, and this run's own local key.

Keys and the usage of days lie in the store, where another process may add or revoke keys at any
moment. What metered keys spend and hold lies on a board that all workers of a PoP share, in
HOME/run; it is locked for the few microseconds of a change. A key without limits needs neither.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from littoral.adapters.shared import Board
from littoral.adapters.store import Store
from littoral.terms.errors import LittoralError
from littoral.terms.facts import RequestRefused
from littoral.terms.ids import KeyId
from littoral.terms.limits import KEYS_MAX, LIMITS_SHOWN_S
from littoral.terms.ports import Clock, Observe
from littoral.terms.values import SECOND, Caller, KeyLimits
from littoral.trust.accounts import words_for
from littoral.trust.keys import KEY_RANDOM_BYTES, Grant, KeyRecord, make_key
from littoral.trust.limits import UNMETERED, Budgets, Refusal, Reservation, utc_day
from littoral.web.response import written

__all__ = ["Keyring", "authenticated", "budget_board"]


def budget_board(run: Path) -> Board:
    """The board of a running PoP's budgets: opened, or made by whoever comes first.

    Raises:
        DiskShortError, HomeUnwritableError, StoreError: it can't be used.
    """
    return Board.open_or_create(run / "budgets.bin", words_for(KEYS_MAX))


_SHOWN: Final = int(LIMITS_SHOWN_S * SECOND)


class Keyring:
    """The keys of one PoP, as one of its workers holds them."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        board: Board,
        *,
        worker: int = 0,
        local: tuple[KeyRecord, str] | None = None,
        alone: bool = False,
    ) -> None:
        """Hold the keys. What an earlier worker of this number held is free again.

        Args:
            store: the home's.
            clock: for minutes, days and expiry.
            board: `budget_board` of this PoP.
            worker: which worker this is.
            local: the operator key for commands on this machine, if another worker made it.
            alone: there is no other worker, so that nobody need be held off.
        """
        self._store = store
        self._keys = store.keys
        self._clock = clock
        self._lock: AbstractContextManager[None] = nullcontext() if alone else board.lock
        self._shown: dict[KeyId, tuple[int, str]] = {}
        """What was said of a key's limits, and when."""
        self._budgets = Budgets(board.words, worker)
        self.forget_worker(worker)
        self._local, self.local_key = local or make_key(
            clock.random_bytes(KEY_RANDOM_BYTES),
            name="this machine",
            unix_s=self._unix_s(),
            grant=Grant(operator=True),
        )
        """An operator key for commands on this machine; it is worth nothing after this run."""
        self._keys.lend(self._local)

    @property
    def local(self) -> tuple[KeyRecord, str]:
        """This run's local key, for the other workers of this PoP."""
        return self._local, self.local_key

    def restore_day(self) -> None:
        """Count what was used today before this PoP started. Once, before it takes requests."""
        metered = {record.key_id for record in self._keys.list() if record.grant.limits.any}
        day = utc_day(self._unix_s())
        used = self._store.receipts.tokens_of_day(day)
        with self._lock:
            self._budgets.restore(day, {each: used[each] for each in used if each in metered})

    def forget_worker(self, worker: int) -> None:
        """A worker died: what it held of anybody's budget is free again."""
        with self._lock:
            self._budgets.forget_worker(worker)

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
        return self._keys.authenticate(token, self._unix_s())

    def holder(self, key_id: KeyId) -> Caller | None:
        """Who holds the key of this id, if it is good: for work that goes on without its holder."""
        return self._keys.holder(key_id, self._unix_s())

    def reserve(self, caller: Caller, tokens: int) -> Reservation:
        """Count a request and hold room for the most tokens that it may use.

        Raises:
            RateLimitedError, BudgetExhaustedError: there is no room.
        """
        if not caller.limits.any:
            return UNMETERED
        clock = self._clock
        now, unix_s = clock.now(), clock.unix_ns() // SECOND
        with self._lock:
            outcome = self._budgets.reserve(caller, tokens, now, unix_s)
        if isinstance(outcome, Refusal):
            raise outcome.error()
        return outcome

    def count(self, caller: Caller) -> None:
        """Count a request that uses no tokens, whatever is left of these.

        Raises:
            RateLimitedError: there were as many in this minute as there may be.
        """
        allowed = caller.limits.requests_per_minute
        if allowed is not None:
            limits = KeyLimits(requests_per_minute=allowed)
            self.release(self.reserve(replace(caller, limits=limits), 0))

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Charge what was really used."""
        if reservation is UNMETERED:
            return
        clock = self._clock
        now, unix_s = clock.now(), clock.unix_ns() // SECOND
        with self._lock:
            self._budgets.settle(reservation, tokens, now, unix_s)

    def release(self, reservation: Reservation) -> None:
        """Charge no tokens."""
        if reservation is UNMETERED:
            return
        with self._lock:
            self._budgets.release(reservation)

    def headers(self, caller: Caller) -> dict[str, str]:
        """What is left of the caller's limits, in the headers that OpenAI's clients know."""
        if not caller.limits.any:
            return {}
        return self._budgets.headers(caller, self._clock.now(), self._unix_s())

    def fields(self, caller: Caller) -> str:
        """The same as header fields are written, as of at most limits.LIMITS_SHOWN_S ago."""
        now = self._clock.now()
        shown = self._shown.get(caller.spends)
        if shown is None or now - shown[0] > _SHOWN:
            if len(self._shown) > KEYS_MAX:
                self._shown.clear()
            shown = now, written(self.headers(caller))
            self._shown[caller.spends] = shown
        return shown[1]

    def _unix_s(self) -> int:
        return self._clock.unix_ns() // SECOND


def authenticated(keyring: Keyring, observe: Observe, token: str | None) -> Caller:
    """Who holds this key; whom it refuses is observed.

    Raises:
        KeyMissingError: nothing was sent.
        KeyRejectedError: the key is unknown, false, expired or revoked.
    """
    try:
        return keyring.authenticate(token)
    except LittoralError as error:
        observe(RequestRefused("authenticate", error.code, error.status))
        raise
