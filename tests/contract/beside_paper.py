"""A driver beside the collections on paper: the same random calls to both, the same answers."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from littoral.sim.collections import PaperCollections
from littoral.terms.collections import Collection, Collections
from littoral.terms.filters import (
    DOCUMENT,
    LABELS,
    TEXT,
    All,
    Allowed,
    Any,
    Between,
    Filter,
    Has,
    Ids,
    Is,
    Matches,
    Near,
    Not,
)
from littoral.terms.memory import (
    Ability,
    Branch,
    CollectionSpec,
    Delete,
    DeleteWhere,
    FieldKind,
    Found,
    Fused,
    Metric,
    Nearest,
    Patch,
    Query,
    Record,
    Scan,
    Search,
    Sparse,
    SparseNearest,
    Upsert,
    VectorField,
    Words,
    Write,
)

WORDS = ("tide", "estuary", "harbour", "lagoon", "salt", "marsh", "pilot", "Ebb", "flood", "reef")
TOPICS = ("coast", "river", "sea", 'quo"te', "back\\slash", "ein 'Wort'", "😀", "x" * 300, "")
TIMES = ("2024-01-01", "2025-06-01T12:00:00Z", "2025-06-01T14:00:00+02:00", "not a time")
IDS = [f"{kind}{number}" for kind in ("a", "b/", "ä-", "Z z", "%_") for number in range(12)]


def packed(numbers: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def spec_for(abilities: frozenset[Ability], metric: Metric, name: str = "drill") -> CollectionSpec:
    """As much as the driver can."""
    vectors = [VectorField(6, metric)]
    if Ability.NAMED in abilities:
        vectors.append(VectorField(3, Metric.L2, "other name"))
    if Ability.MULTI in abilities:
        many = Metric.DOT if metric is Metric.L2 else metric
        vectors.append(VectorField(2, many, "many", multi=True))
    return CollectionSpec(
        name=name,
        vectors=tuple(vectors),
        sparse=("sparse",) if Ability.SPARSE in abilities else (),
        fields={
            "topic": FieldKind.KEYWORD,
            "year": FieldKind.INTEGER,
            "price": FieldKind.FLOAT,
            "when": FieldKind.TIME,
            "flag": FieldKind.BOOLEAN,
            "place": FieldKind.GEO,
            "note": FieldKind.TEXT,
            "author.name": FieldKind.KEYWORD,
        },
    )


@dataclass
class Drill:
    """Random calls, of a seed."""

    driver: Collections
    spec: CollectionSpec
    seed: int
    paper: PaperCollections = field(default_factory=PaperCollections)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.fixed = [self.numbers(6) for _ in range(4)] + [(0.0,) * 6]
        self.paper.create(self.spec)
        self.driver.create(self.spec)

    @property
    def both(self) -> tuple[Collection, Collection]:
        return self.paper.open(self.spec.name), self.driver.open(self.spec.name)

    def run(self, steps: int, asked: int) -> None:
        """Change it step by step, asking about it after each."""
        for _ in range(steps):
            self.change()
            for _ in range(asked):
                self.ask()
        self.compare_all()

    def change(self) -> None:
        writes = [self.write() for _ in range(self.random.randint(1, 3))]
        paper, driver = self.both
        expected, applied = paper.apply(writes), driver.apply(writes)
        assert applied.changed == expected.changed, writes
        assert applied.through >= expected.changed

    def ask(self) -> None:
        search = Search(
            query=self.query(),
            limit=self.random.randint(1, 12),
            offset=self.random.choice((0, 0, 3)),
            where=self.where(),
            score_min=self.random.choice((None, None, -0.5, 0.2)),
            with_vectors=self.random.random() < 0.3,
            with_content=self.random.random() < 0.8,
        )
        paper, driver = self.both
        same(paper.search(search), driver.search(search), search)
        where = self.where()
        assert driver.count(where) == paper.count(where), where
        scan = Scan(where=where, after=self.random.choice(("", "b/3")), limit=7)
        assert driver.scan(scan) == paper.scan(scan), scan
        ids = self.random.sample(IDS, 5)
        assert list(driver.fetch(ids, with_vectors=True)) == list(
            paper.fetch(ids, with_vectors=True)
        )

    def compare_all(self) -> None:
        paper, driver = self.both
        everything = Scan(limit=1_000, with_vectors=True)
        assert driver.scan(everything) == paper.scan(everything)

    def write(self) -> Write:
        kind = self.random.random()
        if kind < 0.65:
            return Upsert(tuple(self.record() for _ in range(self.random.randint(1, 12))))
        if kind < 0.8:
            return Delete(tuple(self.random.sample(IDS, 3)))
        if kind < 0.9 or Ability.PATCH not in self.driver.abilities:
            return DeleteWhere(All((Ids(tuple(self.random.sample(IDS, 12))), self.where_at(1))))
        return Patch(
            where=self.where_at(1),
            metadata={"year": self.random.randint(2020, 2026), "patched": True},
            replace=self.random.random() < 0.2,
            without=("topic",) if self.random.random() < 0.3 else (),
            vectors={"": self.random.choice((None, packed(self.numbers(6))))},
            header=self.random.choice((None, "Patched tables")),
        )

    def record(self) -> Record:
        chance, vectors = self.random.random, dict[str, bytes]()
        for each in self.spec.vectors:
            if chance() < 0.85:
                rows = self.random.randint(1, 3) if each.multi else 1
                numbers = [n for _ in range(rows) for n in self.numbers(each.dimensions)]
                if each.dimensions == 6 and chance() < 0.3:
                    numbers = list(self.random.choice(self.fixed))
                vectors[each.name] = packed(numbers)
        return Record(
            id=self.random.choice(IDS),
            vectors=vectors,
            sparse={name: self.sparse() for name in self.spec.sparse if chance() < 0.7},
            text=" ".join(self.random.choices(WORDS, k=self.random.randint(0, 12))),
            header=self.random.choice(("", "Tide tables", "zero\x00byte")),
            metadata=self.metadata(),
            document=self.random.choice(("", "d1", "d2")),
            position=self.random.randint(0, 9),
            labels=tuple(self.random.sample(("red", "green", "blue"), self.random.randint(0, 2))),
        )

    def metadata(self) -> dict[str, object]:
        choice = self.random.choice
        made: dict[str, object] = {
            "topic": choice((*TOPICS, ["coast", "sea"], None, [])),
            "year": choice((2020, 2021, 2022.0, [2019, 2030], True, "2021", 2**60 + 1)),
            "price": choice((1.5, -2.25, 0, [0.5, 99.5], 1e300)),
            "when": choice((*TIMES, 7)),
            "flag": choice((True, False, 1, None)),
            "place": {"lat": choice((53.5, 48.1)), "lon": choice((9.9, 11.5))},
            "note": " ".join(self.random.choices(WORDS, k=4)),
            "author": choice(({"name": "Ada"}, [{"name": "Ada"}, {"name": "Bo"}], "Ada", {})),
            "loose": {"depth": choice((1, 2, 3)), "odd.key": choice(("x", "y"))},
        }
        return {key: made[key] for key in self.random.sample(sorted(made), 6)}

    def sparse(self) -> Sparse:
        indices = self.random.sample((0, 1, 2, 3, 70_000, 4_294_967_295), 3)
        return Sparse(tuple(indices), tuple(self.random.uniform(-1, 2) for _ in indices))

    def numbers(self, count: int) -> tuple[float, ...]:
        return tuple(self.random.uniform(-1, 1) for _ in range(count))

    def query(self, depth: int = 0) -> Query:
        choices: list[Query] = [
            Nearest(
                packed(self.numbers(each.dimensions * (2 if each.multi else 1))),
                each.name,
                exact=self.random.random() < 0.3,
            )
            for each in self.spec.vectors
        ]
        choices += [SparseNearest(self.sparse(), name) for name in self.spec.sparse]
        if Ability.WORDS in self.driver.abilities:
            choices.append(Words(" ".join(self.random.sample(WORDS, 2))))
        if depth < 2 and Ability.FUSED in self.driver.abilities:
            branches = [
                Branch(self.query(depth + 1), self.random.randint(1, 20), self.where())
                for _ in range(2)
            ]
            choices.append(Fused(tuple(branches)))
        return self.random.choice(choices)

    def where(self) -> Filter | None:
        return None if self.random.random() < 0.4 else self.where_at(0)

    def where_at(self, depth: int) -> Filter:
        choice, kind = self.random.choice, self.random.random()
        if depth < 3 and kind < 0.35:
            parts = tuple(self.where_at(depth + 1) for _ in range(self.random.randint(0, 3)))
            return choice((All(parts), Any(parts), Not(self.where_at(depth + 1))))
        ends = choice(
            ({"gte": 2021}, {"gt": 2020, "lt": 2022}, {"lte": -2.25}, {"gt": 0, "lte": 1})
        )
        times = choice(({"gte": "2025-06-01T12:00:00Z"}, {"lt": "2025-01-01"}))
        return choice(
            (
                Is("topic", (choice(TOPICS), "sea")),
                Is("year", (choice((2020, 2022, True, "2021", 2**60)),)),
                Is("flag", (choice((True, False, 1)),)),
                Is(DOCUMENT, ("d1",)),
                Is(LABELS, ("red", "blue")),
                Is("author.name", ("Ada",)),
                Is("loose.depth", (1, 2)),
                Is("loose.odd.key", ("x",)),
                Between("year", **ends),
                Between("price", **ends),
                Between("topic", **ends),
                Between("when", **times),
                Has(choice(("topic", "flag", "author", "author.name", "nowhere", TEXT))),
                Matches("note", choice(("tide", "EBB flood"))),
                Matches(TEXT, choice(WORDS)),
                Near("place", 53.55, 10.0, 20_000.0),
                Ids(tuple(self.random.sample(IDS, 6))),
                Allowed(("red",)),
                Allowed(()),
            )
        )


def same(expected: Found, found: Found, search: Search) -> None:
    """The same hits in the same order, with scores that differ by rounding at most."""
    assert [hit.record.id for hit in found.hits] == [hit.record.id for hit in expected.hits], (
        search,
        [hit.score for hit in found.hits],
        [hit.score for hit in expected.hits],
        found.plan,
    )
    for one, other in zip(found.hits, expected.hits, strict=True):
        assert abs(one.score - other.score) < 1e-9 * max(1.0, abs(other.score)), search
        assert one.record == other.record, search
