"""The book of reusable questions: partitions apart, learnt without loss, bounded, private."""

import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from littoral.adapters.reuse import REUSE_FILE, QuestionBook, open_questions
from littoral.adapters.reuse.book import MIGRATIONS
from littoral.adapters.reuse.nearest import nearest, nearest_plainly, packed
from littoral.adapters.store.database import Database
from littoral.cache.semantic import Asked, answer_name, unit
from littoral.terms.ids import ModelName

M = ModelName("m")
A, B = b"a" * 32, b"b" * 32


def direction(*numbers: float) -> tuple[float, ...]:
    vector = unit(numbers)
    assert vector is not None
    return vector


EAST, NORTH = direction(1, 0), direction(0, 1)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[QuestionBook]:
    opened = open_questions(tmp_path)
    yield opened
    opened.close()


def add(
    book: QuestionBook,
    question: str,
    vector: tuple[float, ...] = EAST,
    *,
    partition: bytes = A,
    key: bytes = b"k",
    unix_s: int = 0,
) -> None:
    book.add(Asked(partition, question), vector, answer_name(key, question), unix_s=unix_s)


def questions(book: QuestionBook, partition: bytes = A, count: int = 1_000) -> list[str]:
    return [each.question for each in book.near(Asked(partition, ""), EAST, count)]


def test_the_file_is_for_its_owner_only(tmp_path: Path, book: QuestionBook) -> None:
    add(book, "q")
    assert stat.S_IMODE((tmp_path / REUSE_FILE).stat().st_mode) == 0o600


def test_the_nearest_come_first_and_no_more_than_asked_for(book: QuestionBook) -> None:
    add(book, "north", NORTH)
    add(book, "north-east", direction(1, 1))
    add(book, "east", EAST)
    assert questions(book, count=2) == ["east", "north-east"]
    similarities = [each.similarity for each in book.near(Asked(A, ""), EAST, 3)]
    assert similarities == pytest.approx([1.0, 0.5**0.5, 0.0], abs=1e-6)


def test_a_question_is_found_from_no_other_partition(book: QuestionBook) -> None:
    add(book, "mine", partition=A)
    add(book, "mine", partition=B)
    assert book.count() == 2
    assert questions(book, b"c" * 32) == []
    assert questions(book, A) == ["mine"]


def test_vectors_of_another_embedding_model_are_passed_over(book: QuestionBook) -> None:
    add(book, "old", direction(1, 0, 0))
    assert questions(book) == []


def test_what_is_learnt_is_there_for_whoever_opens_the_file(
    tmp_path: Path, book: QuestionBook
) -> None:
    add(book, "q")
    (found,) = book.near(Asked(A, ""), EAST)
    other = open_questions(tmp_path)
    try:
        for _ in range(3):
            book.learn(found.entry_id, 0.9, right=True)
            other.learn(found.entry_id, 0.9, right=False)
    finally:
        other.close()
    (found,) = book.near(Asked(A, ""), EAST)
    assert (found.record.right, found.record.wrong) == (3, 3)


def test_a_question_with_another_answer_is_learnt_anew(book: QuestionBook) -> None:
    add(book, "q", key=b"old")
    (found,) = book.near(Asked(A, ""), EAST)
    book.learn(found.entry_id, 0.9, right=True)
    add(book, "q", key=b"new")
    (found,) = book.near(Asked(A, ""), EAST)
    assert found.answer.key == b"new"
    assert not found.record.counts


def test_what_was_learnt_of_a_replaced_answer_is_not_the_new_ones(book: QuestionBook) -> None:
    add(book, "q", key=b"old")
    (old,) = book.near(Asked(A, ""), EAST)
    add(book, "q", key=b"new")
    assert book.learn(old.entry_id, 0.9, right=True) is None
    book.forget(old.entry_id)
    assert book.count() == 1


def test_learning_of_an_entry_that_is_gone_changes_nothing(book: QuestionBook) -> None:
    add(book, "q")
    (found,) = book.near(Asked(A, ""), EAST)
    book.forget(found.entry_id)
    assert book.learn(found.entry_id, 0.9, right=True) is None
    assert book.count() == 0


def test_a_sweep_drops_the_questions_whose_answers_are_gone(book: QuestionBook) -> None:
    add(book, "1", key=b"1")
    add(book, "2", key=b"2")
    assert book.sweep(lambda key: key == b"2") == 1
    assert questions(book) == ["2"]


def test_what_was_used_least_recently_makes_room(tmp_path: Path) -> None:
    database = Database(tmp_path / REUSE_FILE, migrations=MIGRATIONS)
    book = QuestionBook(database, partition_max=2, entries_max=3)
    add(book, "1", direction(1, 0.1), unix_s=0)
    add(book, "2", direction(1, 0.2), unix_s=0)
    (first,) = book.near(Asked(A, ""), direction(1, 0.1), 1)
    book.used(first.entry_id, 100)
    add(book, "3", direction(1, 0.3), unix_s=110)
    assert sorted(questions(book)) == ["1", "3"]
    add(book, "4", partition=B, unix_s=120)
    add(book, "5", partition=B, unix_s=130)
    assert book.count() == 3
    assert questions(book) == ["3"]
    book.close()


def test_when_an_entry_was_used_is_written_once_a_minute(tmp_path: Path) -> None:
    database = Database(tmp_path / REUSE_FILE, migrations=MIGRATIONS)
    book = QuestionBook(database)
    add(book, "q", unix_s=1_000)
    (found,) = book.near(Asked(A, ""), EAST)
    for unix_s, expected in ((1_059, 1_000), (1_060, 1_060), (1_100, 1_060)):
        book.used(found.entry_id, unix_s)
        assert database.read("SELECT used_unix_s FROM questions") == [(expected,)]
    book.close()


def test_with_and_without_numpy_the_nearest_are_the_same() -> None:
    rng = random.Random(1)
    vectors = [direction(*(rng.gauss(0, 1) for _ in range(384))) for _ in range(60)]
    rows = [packed(vector) for vector in vectors] + [b"", b"short"]
    for vector in vectors[:5]:
        quick, plain = nearest(vector, rows, 5), nearest_plainly(vector, rows, 5)
        assert [place for _, place in quick] == [place for _, place in plain]
        assert [score for score, _ in quick] == pytest.approx([s for s, _ in plain], abs=1e-5)
        assert quick[0][0] == pytest.approx(1.0, abs=1e-5)
    assert nearest(vectors[0], [], 5) == nearest_plainly(vectors[0], [], 5) == []
