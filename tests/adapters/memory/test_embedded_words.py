"""Texts ranked by words from what is kept in memory of them: as FTS5 itself ranks them, always."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from threading import Thread

import pytest

from littoral.adapters.memory.embedded import (
    EmbeddedCollection,
    EmbeddedCollections,
    changing,
    open_collections,
    postings,
)
from littoral.adapters.memory.embedded.indexing import Behind
from littoral.memory.filters import matches
from littoral.terms.errors import MissingExtraError
from littoral.terms.filters import All, Filter, Has, Ids, Is, Not
from littoral.terms.memory import (
    Branch,
    CollectionSpec,
    Delete,
    DeleteWhere,
    FieldKind,
    Fused,
    Patch,
    Record,
    Scan,
    Search,
    Upsert,
    Words,
    Write,
)

SPEC = CollectionSpec(name="notes", fields={"topic": FieldKind.KEYWORD})
BETWEEN = "\u19b0"
"""A letter, but not to FTS5: what has it inside is two words in a row."""
WORDS = (
    *("tide", "tides", "Tidal", "estuary", "estuaries", "harbour", "salt", "marsh", "pilot"),
    *("naïve", "naive", "Łódź", "日本語", "x²", "ﬁne", "reef", "running", "run", "the", "of"),
    *(f"salt{BETWEEN}marsh", f"tide{BETWEEN}tides", BETWEEN, "rare", "42"),
)
IDS = [f"{number:03}" for number in range(90)]


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[EmbeddedCollections]:
    made = open_collections(tmp_path)
    made.create(SPEC)
    yield made
    made.close()


@pytest.fixture
def collection(collections: EmbeddedCollections) -> EmbeddedCollection:
    return collections.open(SPEC.name)


def said_by_fts5(
    collection: EmbeddedCollection, words: Sequence[str], where: Filter | None = None
) -> list[tuple[str, float]]:
    """All that have one of the words, the best first."""
    asked = " OR ".join(f'"{word}"' for word in words)
    with collection._readers.one() as reader:
        scores: dict[str, float] = dict(
            reader.database.read(
                "SELECT id, -bm25(words) FROM words JOIN records ON row = words.rowid "
                "WHERE words MATCH ?",
                (asked,),
            )
        )
    if where is not None:
        kept = {each.id for each in collection.fetch(list(scores)) if matches(where, each)}
        scores = {each: score for each, score in scores.items() if each in kept}
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))


def assert_ranked(
    collection: EmbeddedCollection,
    text: str,
    where: Filter | None = None,
    limit: int = 10,
    offset: int = 0,
    *,
    left_out: Sequence[str] = (),
) -> None:
    words = list(dict.fromkeys(re.findall(r"[^\W_]+", text.lower())))
    asked = [word for word in words if word not in left_out]
    expected = said_by_fts5(collection, asked, where)[offset : offset + limit]
    search = Search(query=Words(text), where=where, limit=limit, offset=offset, with_content=False)
    found = collection.search(search)
    assert [hit.record.id for hit in found.hits] == [each for each, _ in expected], text
    for hit, (_, score) in zip(found.hits, expected, strict=True):
        assert math.isclose(hit.score, score, rel_tol=1e-12), text


class Changed:
    """Random changes and questions, of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def record(self) -> Record:
        many = self.random.choice((0, 1, 5, 12, 12, 30, 300))
        words = self.random.choices(WORDS, k=many)
        return Record(
            id=self.random.choice(IDS),
            text=" ".join(words) + self.random.choice(("", "!", " tide" * 200)),
            header=self.random.choice(("", "", "Tide tables", "zero\x00byte", "- ?")),
            metadata={"topic": self.random.choice(("coast", "river", ["coast", "sea"]))},
        )

    def write(self) -> Write:
        kind = self.random.random()
        if kind < 0.6:
            return Upsert(tuple(self.record() for _ in range(self.random.choice((1, 2, 25)))))
        if kind < 0.75:
            return Delete(tuple(self.random.sample(IDS, 4)))
        if kind < 0.8:
            return DeleteWhere(All((Ids(tuple(self.random.sample(IDS, 60))), Has("topic"))))
        return Patch(
            where=Ids(tuple(self.random.sample(IDS, 5))),
            metadata={"topic": "river"},
            header=self.random.choice((None, "Salt marshes")),
        )

    def ask(self, collection: EmbeddedCollection) -> None:
        where = self.random.choice(
            (None, None, Is("topic", ("coast",)), Not(Is("topic", ("sea",))), Ids(tuple(IDS[:3])))
        )
        text = " ".join(self.random.sample(WORDS, self.random.randint(1, 8)))
        limit, offset = self.random.choice((1, 5, 100)), self.random.choice((0, 0, 4))
        assert_ranked(collection, text, where, limit, offset)


@pytest.mark.parametrize("seed", range(8))
def test_words_rank_as_fts5_ranks_whatever_is_written_and_forgotten(
    tmp_path: Path,
    collection: EmbeddedCollection,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setattr(changing, "TOMBSTONES_MIN", 20)
    changed = Changed(seed)
    reading = open_collections(tmp_path, read_only=True)
    other = reading.open(SPEC.name)
    for _ in range(40):
        collection.apply([changed.write() for _ in range(changed.random.choice((1, 1, 6)))])
        for _ in range(3):
            changed.ask(collection)
        if changed.random.random() < 0.5:
            changed.ask(other)
        if changed.random.random() < 0.1:
            collection.rest()
    assert not collection._held.wording._postings._unlike
    reading.close()


def test_a_word_that_most_texts_have_is_left_out_unless_too_little_is_found(
    collection: EmbeddedCollection,
) -> None:
    chance = Random(3)
    records = [
        Record(id=f"{number:04}", text=f"the tide {'of' if number % 2 else ''} {number % 100} reef")
        for number in chance.sample(range(1_500), 1_500)
    ]
    collection.apply([Upsert(tuple(records))])
    assert_ranked(collection, "the tide of 42", left_out=("the", "tide"))
    assert_ranked(collection, "the 42", limit=12, left_out=("the",))
    assert_ranked(collection, "the 42", limit=16)
    assert_ranked(collection, "the tide reef", limit=16)
    assert_ranked(collection, "the 42", Is("topic", ("none",)))
    odd = tuple(f"{number:04}" for number in range(1, 1_500, 2))
    collection.apply([Delete((odd[0],)), Upsert((Record(id="x", text="of"),))])
    assert_ranked(collection, "the of 42 77", left_out=("the",))
    collection.apply([Upsert(tuple(Record(id=f"y{number}", text="of") for number in range(9)))])
    assert_ranked(collection, "the of 42 77", left_out=("the", "of"))
    collection.apply([Delete(odd[:40])])
    assert_ranked(collection, "the of 42 77", left_out=("the",))


def test_a_filter_that_leaves_many_ranks_as_one_that_leaves_few(
    collection: EmbeddedCollection,
) -> None:
    records = [
        Record(id=f"{n:05}", text=f"moss {n % 7} {n % 501}", metadata={"topic": f"{n % 3}"})
        for n in range(3_000)
    ]
    collection.apply([Upsert(tuple(records)), Upsert((Record(id="a", metadata={"topic": "1"}),))])
    for text in ("3 400", "5 77 400 12", "1"):
        assert_ranked(collection, text, Not(Is("topic", ("1",))))
        assert_ranked(collection, text, Is("topic", ("1",)), limit=3)
        assert_ranked(collection, text, Ids(("00003", "00010", "a", "nothing")))


def test_texts_of_any_length_rank_as_fts5_ranks_them(collection: EmbeddedCollection) -> None:
    for number, many in enumerate((0, 1, 127, 128, 129, 16_383, 16_384, 40_000)):
        text = f"{'moss ' * (many // 2)}{'fern ' * (many - many // 2)}"
        header = "fern " * (many // 100)
        collection.apply([Upsert((Record(id=f"{number}", text=text, header=header),))])
        assert_ranked(collection, "fern moss")
    collection.rest()
    assert_ranked(collection, "fern moss")
    assert not collection._held.wording._postings._unlike


def test_what_is_kept_of_words_is_bounded_and_ranks_all_the_same(
    collection: EmbeddedCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postings, "MEMORY_POSTINGS_BYTES", 4_000)
    changed = Changed(1)
    for _ in range(30):
        collection.apply([changed.write()])
        changed.ask(collection)
        kept = collection._held.wording._postings
        assert kept._bytes <= 4_000
        assert kept._bytes == sum(map(postings._size, kept._kept.values()))
    collection.rest()
    assert not collection._held.wording._postings._kept


def _no_numpy() -> None:
    raise MissingExtraError("no numpy")


def _counts_otherwise(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(postings, "_weight", lambda texts, having: 0.123)


@pytest.mark.parametrize(
    "prepare",
    [lambda patch: patch.setattr(postings, "numpy", _no_numpy), _counts_otherwise],
    ids=["no numpy", "another FTS5"],
)
def test_where_nothing_can_be_kept_fts5_ranks_by_itself(
    collection: EmbeddedCollection,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[pytest.MonkeyPatch], None],
) -> None:
    changed = Changed(2)
    collection.apply([Upsert(tuple(changed.record() for _ in range(50)))])
    collection.search(Search(query=Words("tide reef")))
    prepare(monkeypatch)
    collection.apply([Upsert((Record(id="z", text="tide tide reef"),))])
    for _ in range(20):
        assert_ranked(collection, "tide reef")
        changed.ask(collection)
        collection.apply([changed.write()])


def test_who_sees_an_earlier_moment_than_what_is_kept_is_told_so(
    collection: EmbeddedCollection,
) -> None:
    collection.apply([Upsert((Record(id="a", text="moss"),))])
    wording = collection._held.wording
    with collection._readers.one() as reader:
        earlier = reader.through()
        collection.apply([Upsert((Record(id="b", text="moss"),))])
        assert len(collection.search(Search(query=Words("moss"))).hits) == 2
        with pytest.raises(Behind):
            wording.ranked(reader, earlier, "moss", None, 10)
    assert len(collection.search(Search(query=Words("moss"))).hits) == 2


def test_a_truth_from_a_backup_is_believed_and_what_is_kept_of_words_is_not(
    tmp_path: Path, collections: EmbeddedCollections
) -> None:
    (truth,) = tmp_path.glob("memory/*/truth.sqlite")
    collections.open(SPEC.name).apply([Upsert((Record(id="a", text="moss"),))])
    collections.close()
    backup = truth.read_bytes()
    again = open_collections(tmp_path)
    collection = again.open(SPEC.name)
    collection.apply([Upsert((Record(id="b", text="moss moss"),))])
    assert len(collection.search(Search(query=Words("moss"))).hits) == 2
    kept = collection._held.wording._postings
    later = kept._texts
    collection.rest()
    truth.write_bytes(backup)
    kept._texts = later
    found = collection.search(Search(query=Words("moss")))
    assert [hit.record.id for hit in found.hits] == ["a"]
    again.close()


def test_words_are_of_one_moment_on_many_threads_while_one_writes(
    collection: EmbeddedCollection,
) -> None:
    def records(turn: int) -> Upsert:
        return Upsert(tuple(Record(id=f"{n}", text=f"moss v{turn}") for n in range(20)))

    collection.apply([records(0)])
    wrong: list[object] = []
    done = False

    def look() -> None:
        branches = tuple(Branch(Words(text), 50) for text in ("moss", "moss fern"))
        while not done:
            for query in (Words("moss"), Fused(branches)):
                hits = collection.search(Search(query=query, limit=50)).hits
                texts = {hit.record.text for hit in hits}
                if len(hits) != 20 or len(texts) != 1:
                    wrong.append((len(hits), texts))

    threads = [Thread(target=look) for _ in range(3)]
    for each in threads:
        each.start()
    for turn in range(1, 60):
        collection.apply([records(turn)])
    done = True
    for each in threads:
        each.join()
    assert wrong == []
    assert {each.text for each in collection.scan(Scan()).records} == {"moss v59"}
