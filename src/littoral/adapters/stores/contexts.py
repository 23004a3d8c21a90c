"""The book of contexts: for which collections a model writes them, for whom, and how far it is.

Rules
- A row says what is wanted and counts what was done; what is left follows from the passages.
- Who asks again begins a new row with a new number: what was under way for an earlier one counts
  nothing there.

Used from one thread.
"""

from collections.abc import Sequence
from typing import Final

from littoral.adapters.store.database import Database, Row
from littoral.terms.contextual import ContextJob, ContextState
from littoral.terms.ids import KeyId, ModelName

__all__ = ["ContextBook"]

_COLUMNS: Final = "scope, collection, model, key_id, state, message, written, without"
_RUNNING: Final = ContextState.RUNNING.value


class ContextBook:
    """The work on every collection of one PoP."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, job: ContextJob) -> None:
        """Let this be wanted, in place of what was there for the collection."""
        with self._database.transaction():
            self._database.write(
                f"INSERT OR REPLACE INTO contexts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed text
                (
                    job.scope,
                    job.collection,
                    job.model,
                    job.key_id,
                    job.state.value,
                    job.message,
                    job.written,
                    job.without,
                ),
            )

    def find(self, scope: str, collection: str) -> ContextJob | None:
        """The work on one collection."""
        rows = self._database.read(
            f"SELECT {_COLUMNS}, number FROM contexts WHERE scope = ? AND collection = ?",  # noqa: S608 - fixed text
            (scope, collection),
        )
        return _job(rows[0]) if rows else None

    def running(self) -> Sequence[ContextJob]:
        """All that is wanted and not done, the oldest first."""
        rows = self._database.read(
            f"SELECT {_COLUMNS}, number FROM contexts WHERE state = '{_RUNNING}' ORDER BY number"  # noqa: S608 - fixed text
        )
        return [_job(row) for row in rows]

    def wanted(self, job: ContextJob) -> bool:
        """Whether this is still wanted."""
        found = self._database.read(
            f"SELECT 1 FROM contexts WHERE number = ? AND state = '{_RUNNING}'",  # noqa: S608 - fixed text
            (job.number,),
        )
        return bool(found)

    def count(self, job: ContextJob, *, written: int, without: int) -> None:
        """Passages more are done."""
        with self._database.transaction():
            self._database.write(
                "UPDATE contexts SET written = written + ?, without = without + ? WHERE number = ?",
                (written, without, job.number),
            )

    def settle(self, job: ContextJob, state: ContextState, message: str = "") -> bool:
        """Say what became of it; whether it was still wanted."""
        with self._database.transaction():
            changed = self._database.write(
                f"UPDATE contexts SET state = ?, message = ? "  # noqa: S608 - fixed text
                f"WHERE number = ? AND state = '{_RUNNING}'",
                (state.value, message, job.number),
            )
        return changed > 0

    def drop(self, scope: str, collection: str) -> None:
        """Forget the work on a collection."""
        with self._database.transaction():
            self._database.write(
                "DELETE FROM contexts WHERE scope = ? AND collection = ?", (scope, collection)
            )


def _job(row: Row) -> ContextJob:
    scope, collection, model, key_id, state, message, written, without, number = row
    return ContextJob(
        scope=scope,
        collection=collection,
        model=ModelName(model),
        key_id=KeyId(key_id),
        state=ContextState(state),
        message=message,
        written=written,
        without=without,
        number=number,
    )
