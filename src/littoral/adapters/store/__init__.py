"""What a PoP keeps in `HOME/littoral.db`: API keys, their usage by day, and receipts.

One SQLite file, mode 0600, that the running PoP and the command line open side by side: a key made
or revoked by one is seen by the other at its next request. `keys` and `receipts` are the two
books in it; `database` is the file itself.

Nothing here decides: who may do what, and what a receipt says, is in the trust room.
"""

from pathlib import Path
from typing import Final, Self

from littoral.adapters.store.database import Database
from littoral.adapters.store.keys import KeyBook
from littoral.adapters.store.receipts import ReceiptBook, StoredReceipt
from littoral.terms.errors import ConfigError
from littoral.terms.limits import RECEIPTS_MAX

__all__ = ["STORE_FILE", "KeyBook", "ReceiptBook", "Store", "StoredReceipt", "open_store"]

STORE_FILE: Final = "littoral.db"


class Store:
    """Both books of one home. Used from one thread; closed by whoever opened it."""

    def __init__(self, database: Database, *, receipts_max: int) -> None:
        self._database = database
        self.keys = KeyBook(database)
        self.receipts = ReceiptBook(database, receipts_max=receipts_max)

    def close(self) -> None:
        """Write everything into the one file and let go of it."""
        self._database.close()

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
    return Store(Database(path), receipts_max=receipts_max)
