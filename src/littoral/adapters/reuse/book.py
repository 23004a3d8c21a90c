"""The book of questions that may be answered again by meaning, each with what was learnt of it.

Rules
- A question lies in one partition and is found from no other; a partition never crosses a tenant.
- What was learnt is read, changed and written in one transaction: processes that share the file
  lose no observation.
- At most limits.REUSE_PARTITION_ENTRIES_MAX questions a partition and limits.REUSE_ENTRIES_MAX in
  all; what was used least recently makes room.
- A question asked again with another answer replaces the old, and is learnt anew.

Not here: the answers themselves (adapters/answers), and every decision (cache/semantic.py).
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from littoral.adapters.reuse.nearest import nearest, packed
from littoral.adapters.store.database import Database
from littoral.cache.learner import Record, observe
from littoral.cache.semantic import AnswerName, Asked, Candidate
from littoral.terms.limits import (
    REUSE_CANDIDATES,
    REUSE_ENTRIES_MAX,
    REUSE_PARTITION_ENTRIES_MAX,
)

__all__ = ["MIGRATIONS", "QuestionBook"]

MIGRATIONS: Final = (
    """
    CREATE TABLE questions (
        entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
        partition BLOB NOT NULL,
        question TEXT NOT NULL,
        vector BLOB NOT NULL,
        answer_key BLOB NOT NULL,
        answer_digest BLOB NOT NULL,
        used_unix_s INTEGER NOT NULL,
        record BLOB NOT NULL,
        UNIQUE (partition, question)
    ) STRICT;
    CREATE INDEX questions_by_use ON questions (used_unix_s);
    CREATE INDEX questions_by_answer ON questions (answer_key);
    """,
)

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[tuple[int, int, int], ...]).decode

_USED_STEP_S: Final = 60
"""When an entry was used is kept to the minute: a write a minute, not one a hit."""


class QuestionBook:
    """Every reusable question of one PoP. Used from one thread; closed by whoever opened it."""

    def __init__(
        self,
        database: Database,
        *,
        partition_max: int = REUSE_PARTITION_ENTRIES_MAX,
        entries_max: int = REUSE_ENTRIES_MAX,
    ) -> None:
        assert 1 <= partition_max <= entries_max
        self._database = database
        self._partition_max = partition_max
        self._entries_max = entries_max

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def near(
        self, asked: Asked, vector: Sequence[float], count: int = REUSE_CANDIDATES
    ) -> list[Candidate]:
        """The nearest questions of the same partition, nearest first.

        Args:
            asked: the question and its partition.
            vector: of the question, at length one.
            count: how many at most.
        """
        rows = self._database.read(
            "SELECT entry_id, question, answer_key, answer_digest, record, vector FROM questions "
            "WHERE partition = ?",
            (asked.partition,),
        )
        scored = nearest(vector, [row[-1] for row in rows], count)
        return [
            Candidate(
                entry_id,
                question,
                AnswerName(key, digest),
                Record(_decode(record)),
                min(1.0, similarity),
            )
            for similarity, place in scored
            for entry_id, question, key, digest, record, _ in [rows[place]]
        ]

    def add(
        self,
        asked: Asked,
        vector: Sequence[float],
        answer: AnswerName,
        *,
        unix_s: int,
    ) -> None:
        """Keep a question with the name of its answer, and make room if need be."""
        with self._database.transaction():
            self._database.write(
                "INSERT OR REPLACE INTO questions (partition, question, vector, answer_key, "
                "answer_digest, used_unix_s, record) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    asked.partition,
                    asked.question,
                    packed(vector),
                    answer.key,
                    answer.digest,
                    unix_s,
                    _encode(()),
                ),
            )
            self._make_room(asked.partition)

    def learn(self, entry_id: int, similarity: float, *, right: bool) -> Record | None:
        """Add an observation to an entry; its new record, or None when it is gone."""
        with self._database.transaction():
            rows = self._database.read(
                "SELECT record FROM questions WHERE entry_id = ?", (entry_id,)
            )
            if not rows:
                return None
            record = observe(Record(_decode(rows[0][0])), similarity, right=right)
            self._database.write(
                "UPDATE questions SET record = ? WHERE entry_id = ?",
                (_encode(record.counts), entry_id),
            )
        return record

    def used(self, entry_id: int, unix_s: int) -> None:
        """Say that an entry was of use, so that it stays."""
        condition = "entry_id = ? AND used_unix_s <= ?"
        parameters = (entry_id, unix_s - _USED_STEP_S)
        if not self._database.read(f"SELECT 1 FROM questions WHERE {condition}", parameters):  # noqa: S608 - fixed text
            return
        with self._database.transaction():
            self._database.write(
                "UPDATE questions SET used_unix_s = ? WHERE entry_id = ?", (unix_s, entry_id)
            )

    def forget(self, entry_id: int) -> None:
        """Drop an entry: its answer is no longer there."""
        with self._database.transaction():
            self._database.write("DELETE FROM questions WHERE entry_id = ?", (entry_id,))

    def sweep(self, kept: Callable[[bytes], bool]) -> int:
        """Drop the entries whose answer is not kept any more, and say how many.

        Args:
            kept: whether there is an answer of this key.
        """
        rows = self._database.read("SELECT entry_id, answer_key FROM questions")
        gone = [(entry_id,) for entry_id, key in rows if not kept(key)]
        with self._database.transaction():
            for parameters in gone:
                self._database.write("DELETE FROM questions WHERE entry_id = ?", parameters)
        return len(gone)

    def count(self) -> int:
        """How many questions are kept."""
        ((count,),) = self._database.read("SELECT count(*) FROM questions")
        return int(count)

    def _make_room(self, partition: bytes) -> None:
        self._database.write(
            "DELETE FROM questions WHERE entry_id IN (SELECT entry_id FROM questions "
            "WHERE partition = ? ORDER BY used_unix_s DESC, entry_id DESC LIMIT -1 OFFSET ?)",
            (partition, self._partition_max),
        )
        surplus = self.count() - self._entries_max
        if surplus > 0:
            self._database.write(
                "DELETE FROM questions WHERE entry_id IN "
                "(SELECT entry_id FROM questions ORDER BY used_unix_s, entry_id LIMIT ?)",
                (surplus,),
            )
