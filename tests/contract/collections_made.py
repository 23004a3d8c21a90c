"""Collections, records, filters, searches and changes made by chance, from a seed.

Numbers are small and whole, so that sums of products are exact in whatever order they are made.
"""

import random
from array import array
from collections.abc import Sequence

from littoral.terms.filters import (
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
    Branch,
    CollectionSpec,
    Delete,
    DeleteWhere,
    FieldKind,
    Fused,
    Metric,
    Nearest,
    Patch,
    Query,
    Record,
    Search,
    Sparse,
    SparseNearest,
    Upsert,
    VectorField,
    Write,
)

__all__ = ["SPEC", "filter_made", "packed", "record_made", "search_made", "write_made"]

SPEC = CollectionSpec(
    name="made",
    vectors=(
        VectorField(dimensions=3, metric=Metric.DOT),
        VectorField(dimensions=2, metric=Metric.L2, name="title"),
        VectorField(dimensions=3, metric=Metric.COSINE, name="mood"),
        VectorField(dimensions=2, metric=Metric.DOT, name="tokens", multi=True),
    ),
    sparse=("terms", "others"),
    fields={
        "kind": FieldKind.KEYWORD,
        "size": FieldKind.INTEGER,
        "weight": FieldKind.FLOAT,
        "good": FieldKind.BOOLEAN,
        "made.at": FieldKind.TIME,
        "place": FieldKind.GEO,
        "body": FieldKind.TEXT,
    },
)
"""Something of everything; the fields of the same names with `x_` before are not declared."""

_KINDS = ("a", "b", "c'; DROP TABLE records; --", 'd"', "ünï", "", "a%", "zz" * 200)
_WORDS = ("moss", "fern", "Gorse", "briar", "SEDGE", "bracken_fen", "größe", "æther", "*", '"(')
_TIMES = (
    "2024-01-01T00:00:00Z",
    "2024-01-01T01:00:00+01:00",
    "2024-06-30",
    "2025-02-28T23:59:59.5Z",
    "no time",
)
_NUMBERS = (-1, 0, 1, 2, 2.0, 2.5, -0.0, 2**53, 2**53 + 1, 2**63, 2.0**63, 10**19, 1e300)
_DECLARED = (
    "kind",
    "size",
    "weight",
    "good",
    "made.at",
    "place",
    "body",
    "nested.deep",
    "$document",
)
_FIELDS = (*_DECLARED, "$labels", "$text", "none")


def packed(*numbers: float) -> bytes:
    """A vector."""
    return array("f", numbers).tobytes()


def record_made(chance: random.Random, ids: int = 40) -> Record:
    """A record under one of so many ids."""
    metadata = _metadata(chance)
    vectors = {
        field.name: _vector(chance, field) for field in SPEC.vectors if chance.random() < 0.8
    }
    return Record(
        id=f"id-{chance.randrange(ids)}",
        vectors=vectors,
        sparse={name: _sparse(chance) for name in SPEC.sparse if chance.random() < 0.7},
        text=_text(chance) if chance.random() < 0.9 else "",
        header=_text(chance) if chance.random() < 0.3 else "",
        metadata=metadata,
        document=chance.choice(("", "one.md", "two.md")),
        position=chance.randrange(5),
        labels=tuple(chance.sample(("x", "y", "z"), chance.choice((0, 0, 1, 2)))),
    )


def filter_made(chance: random.Random, depth: int = 0) -> Filter:
    """A filter, at most three deep."""
    if depth < 2 and chance.random() < 0.4:
        parts = tuple(filter_made(chance, depth + 1) for _ in range(chance.randrange(4)))
        match chance.randrange(3):
            case 0:
                return All(parts)
            case 1:
                return Any(parts)
            case _:
                return Not(filter_made(chance, depth + 1))
    field = chance.choice(_FIELDS)
    field = field if field.startswith("$") or chance.random() < 0.7 else f"x_{field}"
    match chance.randrange(9):
        case 0 | 1:
            some = (*_KINDS, *_NUMBERS, True, False, "one.md", "x", "moss")
            return Is(field, tuple(chance.choices(some, k=chance.randrange(4))))
        case 2:
            return _between(chance, field, [float(each) for each in _NUMBERS])
        case 3:
            return _between(chance, field, _TIMES[:-1])
        case 4:
            return Has(field)
        case 5:
            return Matches(field, chance.choice(("moss", "FERN moss", "gorse", "grösse", "fen")))
        case 6:
            return Near(
                field, chance.choice((0.0, 50.0, 89.0)), 10.0, chance.choice((1e3, 1e6, 2e7))
            )
        case 7:
            return Ids(tuple(f"id-{chance.randrange(40)}" for _ in range(chance.randrange(20))))
        case _:
            return Allowed(tuple(chance.sample(("x", "y", "z"), chance.randrange(3))))


def search_made(chance: random.Random) -> Search:
    """A search by any query but words, of which drivers differ in how they rank."""
    return Search(
        query=_query(chance),
        limit=chance.choice((1, 3, 10, 100)),
        offset=chance.choice((0, 0, 2)),
        where=filter_made(chance) if chance.random() < 0.5 else None,
        score_min=chance.choice((None, None, 0.0, 1.0)),
        with_vectors=chance.random() < 0.3,
        with_content=chance.random() < 0.7,
    )


def write_made(chance: random.Random) -> Write:
    """A change."""
    match chance.randrange(10):
        case 0 | 1:
            return Delete(tuple(f"id-{chance.randrange(40)}" for _ in range(chance.randrange(4))))
        case 2:
            return DeleteWhere(All((filter_made(chance), Is("kind", (chance.choice(_KINDS),)))))
        case 3 | 4:
            vectors: dict[str, bytes | None] = {
                name: None for name in ("", "tokens") if chance.random() < 0.3
            }
            if chance.random() < 0.3:
                vectors["title"] = packed(7, 7)
            return Patch(
                where=filter_made(chance),
                metadata=_metadata(chance) if chance.random() < 0.8 else {},
                replace=chance.random() < 0.2,
                without=("kind", "x_size") if chance.random() < 0.3 else (),
                vectors=vectors,
                sparse={"terms": _sparse(chance)} if chance.random() < 0.2 else {},
                header=chance.choice((None, None, "", "A moss header")),
            )
        case _:
            return Upsert(tuple(record_made(chance) for _ in range(chance.randrange(12))))


def _query(chance: random.Random, depth: int = 0) -> Query:
    match chance.randrange(7 if depth < 2 else 5):
        case 0 | 1 | 2 | 3:
            field = chance.choice(SPEC.vectors)
            return Nearest(_vector(chance, field), field.name, exact=True)
        case 4:
            return SparseNearest(_sparse(chance), chance.choice(SPEC.sparse))
        case _:
            branches = tuple(
                Branch(
                    _query(chance, depth + 1),
                    limit=chance.choice((2, 20)),
                    where=filter_made(chance) if chance.random() < 0.3 else None,
                )
                for _ in range(1 + chance.randrange(3))
            )
            return Fused(branches, k=chance.choice((0, 60)))


def _vector(chance: random.Random, field: VectorField) -> bytes:
    if field.metric is Metric.COSINE:  # lengths of whole numbers, so that no root is rounded
        return packed(*chance.choice(((1, 0, 0), (0, 2, 0), (3, 4, 0), (0, 0, 0), (0, -3, 4))))
    rows = 1 + chance.randrange(3) if field.multi else 1
    return packed(*(chance.randrange(-2, 3) for _ in range(rows * field.dimensions)))


def _sparse(chance: random.Random) -> Sparse:
    indices = chance.sample((0, 1, 2, 7, 4_294_967_295), chance.randrange(4))
    return Sparse(tuple(indices), tuple(float(chance.randrange(-2, 3)) for _ in indices))


def _text(chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=1 + chance.randrange(6)))


def _between(chance: random.Random, field: str, ends: Sequence[float | str]) -> Between:
    names = chance.sample(("gt", "gte", "lt", "lte"), chance.choice((1, 1, 2)))
    chosen: dict[str, float | str] = {name: chance.choice(ends) for name in names}
    gt, gte, lt, lte = map(chosen.get, ("gt", "gte", "lt", "lte"))
    return Between(field, gt=gt, gte=gte, lt=lt, lte=lte)


def _metadata(chance: random.Random) -> dict[str, object]:
    values: dict[str, object] = {}
    for prefix in ("", "x_"):
        for name in ("kind", "size", "weight", "good", "made.at", "place", "body", "nested"):
            if chance.random() < 0.5:
                value = _value(chance, name)
                value = [value, [_value(chance, name)], None] if chance.random() < 0.2 else value
                _put(values, prefix + name, value, parted=chance.random() < 0.5)
    return values


def _put(values: dict[str, object], name: str, value: object, *, parted: bool) -> None:
    """Under its whole name, or by its parts."""
    head, dot, rest = name.partition(".")
    if dot and parted:
        values[head] = {rest: value}
    else:
        values[name] = value


def _value(chance: random.Random, name: str) -> object:
    if chance.random() < 0.15:  # of another kind than was declared
        others: tuple[object, ...] = (
            None,
            [],
            {},
            {"lat": 1},
            True,
            1,
            "a",
            2.5,
            {"lat": True, "lon": 10},
            2**64 - 1,
        )
        return chance.choice(others)
    match name:
        case "kind":
            return chance.choice(_KINDS)
        case "size" | "weight":
            return chance.choice(_NUMBERS)
        case "good":
            return chance.choice((True, False))
        case "made.at":
            return chance.choice(_TIMES)
        case "place":
            return {"lat": chance.choice((0, 50.0, -91, 90)), "lon": chance.choice((10, 190.5))}
        case "body":
            return _text(chance)
        case _:
            return {"deep": chance.choice((1, "a", [1, {"deeper": 2}]))}
