"""What a PoP keeps in `HOME/semantic.db` of questions whose answers may be reused by meaning.

The file holds the text of these questions, mode 0600: comparing words needs them. Nothing is kept
for a request that did not opt in.
"""

from pathlib import Path
from typing import Final

from littoral.adapters.reuse.book import MIGRATIONS, QuestionBook
from littoral.adapters.store.database import Database

__all__ = ["REUSE_FILE", "QuestionBook", "open_questions"]

REUSE_FILE: Final = "semantic.db"


def open_questions(home: Path) -> QuestionBook:
    """Open a home's book of questions, and make it if it is not there.

    Raises:
        HomeUnwritableError, DiskShortError, StoreError: it can't be used.
    """
    return QuestionBook(Database(home / REUSE_FILE, migrations=MIGRATIONS))
