"""What a collection can not take is refused before anything is done."""

from array import array

import pytest

from littoral.memory.checking import check_search, check_spec, check_writes
from littoral.terms.errors import BadRequestError
from littoral.terms.filters import Ids, Is
from littoral.terms.limits import (
    COLLECTION_VECTORS_MAX,
    PREFETCHES_MAX,
    RECORD_DOCUMENT_CHARS_MAX,
    RECORD_LABEL_CHARS_MAX,
    RECORD_METADATA_BYTES_MAX,
    RECORD_TEXT_BYTES_MAX,
    VECTOR_DIMENSIONS_MAX,
)
from littoral.terms.memory import (
    Branch,
    CollectionSpec,
    Delete,
    DeleteWhere,
    FieldKind,
    Fused,
    Nearest,
    Patch,
    Query,
    Record,
    Search,
    Sparse,
    SparseNearest,
    Upsert,
    VectorField,
    Words,
    Write,
)

SPEC = CollectionSpec(
    name="c",
    vectors=(VectorField(2), VectorField(3, name="tokens", multi=True)),
    sparse=("terms",),
)


def packed(*numbers: float) -> bytes:
    return array("f", numbers).tobytes()


def test_what_fits_is_taken() -> None:
    record = Record(
        id="a",
        vectors={"": packed(1, 2), "tokens": packed(*range(6))},
        sparse={"terms": Sparse((7, 3), (0.5, -1.0))},
        metadata={"nested": {"list": [1, None, "x"]}},
    )
    check_spec(SPEC)
    check_writes(SPEC, [Upsert((record,)), Delete(("a",)), DeleteWhere(Ids(("a",)))])
    check_writes(SPEC, [Patch(where=Ids(("a",)), vectors={"": None}, sparse={"terms": None})])
    both = Fused((Branch(Nearest(packed(1, 0))), Branch(Words("x"))))
    check_search(SPEC, Search(query=both))


@pytest.mark.parametrize(
    "spec",
    [
        CollectionSpec(name=""),
        CollectionSpec(name="$document"),
        CollectionSpec(name="../x"),
        CollectionSpec(name="a\n"),
        CollectionSpec(name="x" * 129),
        CollectionSpec(name="c", vectors=(VectorField(2), VectorField(3))),
        CollectionSpec(name="c", vectors=(VectorField(2, name="x"),), sparse=("x",)),
        CollectionSpec(name="c", vectors=(VectorField(VECTOR_DIMENSIONS_MAX + 1),)),
        CollectionSpec(name="c", sparse=tuple(map(str, range(COLLECTION_VECTORS_MAX + 1)))),
        CollectionSpec(name="c", fields={"$text": FieldKind.TEXT}),
    ],
    ids=range(10),
)
def test_a_collection_that_can_not_be_is_refused(spec: CollectionSpec) -> None:
    with pytest.raises(BadRequestError):
        check_spec(spec)


@pytest.mark.parametrize(
    "write",
    [
        Upsert((Record(id=""),)),
        Upsert((Record(id="x" * 513),)),
        Upsert((Record(id="a", vectors={"": packed(1)}),)),
        Upsert((Record(id="a", vectors={"": packed(1, 2, 3, 4)}),)),
        Upsert((Record(id="a", vectors={"": packed(1, float("nan"))}),)),
        Upsert((Record(id="a", vectors={"": packed(float("inf"), -float("inf"))}),)),
        Upsert((Record(id="a", vectors={"": b"odd"}),)),
        Upsert((Record(id="a", vectors={"other": packed(1, 2)}),)),
        Upsert((Record(id="a", vectors={"tokens": b""}),)),
        Upsert((Record(id="a", sparse={"terms": Sparse((1,), ())}),)),
        Upsert((Record(id="a", sparse={"terms": Sparse((1, 1), (1.0, 2.0))}),)),
        Upsert((Record(id="a", sparse={"terms": Sparse((1,), (float("inf"),))}),)),
        Upsert((Record(id="a", sparse={"": Sparse((), ())}),)),
        Upsert((Record(id="a", text="x" * (RECORD_TEXT_BYTES_MAX + 1)),)),
        Upsert((Record(id="a", labels=tuple(map(str, range(65)))),)),
        Upsert((Record(id="a", metadata={"x": ["y" * RECORD_METADATA_BYTES_MAX]}),)),
        Upsert((Record(id="a", labels=("x" * (RECORD_LABEL_CHARS_MAX + 1),)),)),
        Upsert((Record(id="a", document="x" * (RECORD_DOCUMENT_CHARS_MAX + 1)),)),
        Upsert((Record(id="a", position=2**63),)),
        Upsert((Record(id="a", sparse={"terms": Sparse((1,), (1e39,))}),)),
        Delete(("",)),
        DeleteWhere(Is("", ("x",))),
        Patch(where=Ids(("a",)), vectors={"": packed(1)}),
    ],
    ids=range(23),
)
def test_a_change_that_can_not_be_made_is_refused(write: Write) -> None:
    with pytest.raises(BadRequestError):
        check_writes(SPEC, [Delete(("fine",)), write])


@pytest.mark.parametrize(
    "query",
    [
        Nearest(packed(1)),
        Nearest(packed(1, 2), field="none"),
        SparseNearest(Sparse((1,), (1.0,)), field="none"),
        Words("  "),
        Words("x" * (RECORD_TEXT_BYTES_MAX + 1)),
        Fused((Branch(Words("x")),) * (PREFETCHES_MAX + 1)),
        Fused((Branch(Fused((Branch(Words("x")),) * 20)),) * 2),
        Fused(()),
        Fused((Branch(Fused((Branch(Fused((Branch(Fused((Branch(Words("x")),))),))),))),)),
        Fused((Branch(Nearest(packed(1))),)),
        Fused((Branch(Words("x"), where=Is("", ())),)),
    ],
    ids=range(11),
)
def test_what_can_not_be_looked_for_is_refused(query: Query) -> None:
    with pytest.raises(BadRequestError):
        check_search(SPEC, Search(query=query))


@pytest.mark.parametrize(
    ("number", "taken"),
    [
        (3.4e38, True),
        (-3.4e38, True),
        (1.7e38, True),
        (-0.0, True),
        (float("inf"), False),
        (-float("inf"), False),
        (float("nan"), False),
        (-float("nan"), False),
    ],
)
def test_the_largest_numbers_are_taken_and_those_that_are_none_are_not(
    number: float, taken: bool
) -> None:
    for vector in (packed(number, 1), packed(1, number), packed(number, -number)):
        search = Search(query=Nearest(vector))
        if taken:
            check_search(SPEC, search)
        else:
            with pytest.raises(BadRequestError, match="not finite"):
                check_search(SPEC, search)
