"""What a PoP keeps in `HOME/littoral.db`: API keys, their usage by day, receipts, and members.

One SQLite file, mode 0600, that the running PoP and the command line open side by side: a key made
or revoked by one is seen by the other at its next request. `keys`, `receipts` and `members` are the
books in it; `database` is the file itself. `HOME/keys.epoch` beside it says when keys change.

Nothing here decides: who may do what, and what a receipt says, is in the trust room.
"""

from pathlib import Path
from typing import Final, Self

from littoral.adapters.shared import Board
from littoral.adapters.store.database import Database
from littoral.adapters.store.keys import EPOCH_WORDS, KeyBook
from littoral.adapters.store.members import MemberBook
from littoral.adapters.store.receipts import ReceiptBook, StoredReceipt
from littoral.terms.errors import ConfigError
from littoral.terms.limits import RECEIPTS_MAX

__all__ = [
    "STORE_FILE",
    "KeyBook",
    "MemberBook",
    "ReceiptBook",
    "Store",
    "StoredReceipt",
    "open_store",
]

STORE_FILE: Final = "littoral.db"
_EPOCH_FILE: Final = "keys.epoch"


class Store:
    """The books of one home. Used from one thread; closed by whoever opened it."""

    def __init__(self, database: Database, epoch: Board, *, receipts_max: int) -> None:
        self._database = database
        self._epoch = epoch
        self.keys = KeyBook(database, epoch)
        self.receipts = ReceiptBook(database, receipts_max=receipts_max)
        self.members = MemberBook(database)

    def close(self) -> None:
        """Write everything into the one file and let go of it."""
        self._database.close()
        self._epoch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_store(home: Path, *, create: bool = True, receipts_max: int = RECEIPTS_MAX) -> Store:
    """Open a home's store.

    Args:
        home: the state directory.
        create: make the directory and the file if they are not there.
        receipts_max: receipts kept; the oldest are dropped first.

    Raises:
        ConfigError: there is none and none was to be made.
        HomeUnwritableError, DiskShortError, StoreError: it can't be used.
    """
    path = home / STORE_FILE
    if not create and not path.exists():
        raise ConfigError(
            f"there is no PoP's state in {home}",
            advice="start one with `littoral up`, or name another with --home",
        )
    database = Database(path)
    try:
        epoch = Board.open_or_create(home / _EPOCH_FILE, EPOCH_WORDS)
    except BaseException:
        database.close()
        raise
    return Store(database, epoch, receipts_max=receipts_max)
