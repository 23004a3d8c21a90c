"""What a PoP keeps in `HOME/stores.db` of vector stores, and in `HOME/files` of what clients sent.

Passages and vectors are in collections; here is what OpenAI's API knows beside them, and which
collections have contexts written for their passages. Files of both have mode 0600.
"""

from pathlib import Path
from typing import Final

from littoral.adapters.store.database import Database
from littoral.adapters.stores.contexts import ContextBook
from littoral.adapters.stores.shelf import StoreBook
from littoral.adapters.stores.tables import MIGRATIONS
from littoral.adapters.stores.uploads import UploadBook
from littoral.adapters.stores.vault import Vault

__all__ = [
    "FILES_FOLDER",
    "STORES_FILE",
    "ContextBook",
    "Kept",
    "StoreBook",
    "UploadBook",
    "Vault",
    "open_stores",
]

STORES_FILE: Final = "stores.db"
FILES_FOLDER: Final = "files"


class Kept:
    """The books of one home and the bytes beside them. Closed by whoever opened it."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self.uploads = UploadBook(database)
        self.stores = StoreBook(database)
        self.contexts = ContextBook(database)
        self.vault = vault

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def open_stores(home: Path) -> Kept:
    """Open what a home keeps of vector stores, and make it if it is not there.

    Raises:
        HomeUnwritableError, DiskShortError, StoreError: it can't be used.
    """
    vault = Vault(home / FILES_FOLDER)
    return Kept(Database(home / STORES_FILE, migrations=MIGRATIONS), vault)
