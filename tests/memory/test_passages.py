"""What a document becomes, and what a new version of it changes."""

import msgspec
import pytest

from littoral.memory.passages import (
    Document,
    Outline,
    Piece,
    changed,
    cut_of_a_document,
    passage_digest,
    passages,
    placed,
)
from littoral.terms.memory import Record

TEXT = """# Tides

Water comes.

## Ebb

### Why

The moon.

```sh
# not a heading
```

Floods
------

It comes back.
"""


def document(text: str = TEXT, **more: object) -> Document:
    return Document(**{"name": "tides.md", "title": "Tides", "text": text, **more})  # type: ignore[arg-type]


def cut(text: str) -> list[Piece]:
    """At empty lines."""
    pieces, start = [], 0
    for part in text.split("\n\n"):
        pieces.append(Piece(start, part))
        start += len(part) + 2
    return pieces


def records(text: str, **more: object) -> tuple[Record, ...]:
    whole = document(text, **more)
    return passages(whole, cut(text), metadata={})


@pytest.mark.parametrize(
    ("of", "header"),
    [
        ("# Tides", ""),
        ("Water comes", "Tides"),
        ("### Why", "Tides > Ebb"),
        ("The moon", "Tides > Ebb > Why"),
        ("# not a", "Tides > Ebb > Why"),
        ("Floods", "Tides"),
        ("It comes", "Tides > Floods"),
    ],
)
def test_a_header_says_the_title_and_the_sections_above(of: str, header: str) -> None:
    assert Outline(document()).header(Piece(TEXT.index(of), of)) == header


def test_another_title_than_the_first_heading_stands_before_it() -> None:
    outline = Outline(document(title="A *book* of [`water`](x)"))
    assert (
        outline.header(Piece(TEXT.index("The moon"), "")) == "A book of water > Tides > Ebb > Why"
    )


def test_plain_text_has_no_sections() -> None:
    outline = Outline(document(markdown=False))
    assert outline.header(Piece(TEXT.index("The moon"), "")) == "Tides"


def test_a_header_is_never_long() -> None:
    text = "\n\n".join("#" * level + " " + "word " * 100 for level in range(1, 7)) + "\n\nend"
    header = Outline(document(text, title="t" * 999)).header(Piece(len(text) - 3, "end"))
    assert len(header) < 460


def test_a_heading_alone_is_left_out_where_what_follows_says_it() -> None:
    text = "# Tides\n\n## Ebb\n\nWater leaves.\n\n## Empty\n\n## Last"
    kept = [piece.text for piece in Outline(document(text)).without_bare_headings(cut(text))]
    assert kept == ["Water leaves.", "## Empty", "## Last"]


def test_passages_of_pages_say_the_page_that_they_begin_on() -> None:
    whole = document("one\n\ntwo\n\nthree", markdown=False, pages=(0, 5, 5))
    found = passages(whole, cut(whole.text), metadata={"year": 1})
    assert [record.metadata["page"] for record in found] == [1, 3, 3]
    assert found[0].metadata["year"] == 1
    said = passages(whole, cut(whole.text), metadata={"page": "cover"})
    assert said[0].metadata == {"page": "cover"}


def test_ids_are_the_same_for_the_same_and_other_ones_for_another_document() -> None:
    again, other = records(TEXT), records(TEXT, name="other.md")
    assert records(TEXT) == again
    assert {record.id for record in again}.isdisjoint(record.id for record in other)
    assert len({record.id for record in again}) == len(again)
    assert [record.position for record in again] == list(range(len(again)))


def test_equal_passages_of_a_document_are_told_apart() -> None:
    first, second = records("twice\n\ntwice", markdown=False)
    assert first.id != second.id


def test_what_is_unchanged_changes_nothing() -> None:
    change = changed(records(TEXT), records(TEXT))
    assert change.nothing
    assert change.unchanged == len(records(TEXT))


def test_a_paragraph_put_in_is_new_and_moves_those_after_it() -> None:
    new = TEXT.replace("## Ebb", "A new one.\n\n## Ebb")
    change = changed(records(TEXT), records(new))
    assert [record.text for record in change.fresh] == ["A new one."]
    assert [record.position for record in change.moved] == list(range(3, len(records(new))))
    assert (change.gone, change.unchanged) == ((), 2)


def test_a_paragraph_that_is_another_replaces_the_old_one() -> None:
    new = TEXT.replace("The moon.", "The moon and the sun.")
    old = next(record for record in records(TEXT) if record.text == "The moon.")
    change = changed(records(TEXT), records(new))
    assert [record.text for record in change.fresh] == ["The moon and the sun."]
    assert change.gone == (old,)
    assert change.moved == ()


def test_another_title_of_a_section_is_embedded_anew() -> None:
    change = changed(records(TEXT), records(TEXT.replace("### Why", "### The reason")))
    assert "The moon." in {record.text for record in change.fresh}


def test_labels_and_metadata_alone_keep_the_vectors() -> None:
    old = Record(id="a", text="x", vectors={"": b"1234"}, metadata={"year": 1})
    wanted = Record(id="a", text="x", metadata={"year": 2}, labels=("staff",))
    change = changed([old], [wanted])
    assert (change.fresh, change.moved) == ((), (wanted,))
    assert placed(wanted, old).vectors == {"": b"1234"}
    assert placed(wanted, old).labels == ("staff",)


def test_a_record_that_brings_another_vector_is_new() -> None:
    old = Record(id="a", text="x", vectors={"": b"1234"})
    same, other = (
        Record(id="a", text="x", vectors={"": b"1234"}),
        Record(id="a", vectors={"": b"12"}),
    )
    assert changed([old], [same]).nothing
    assert changed([old], [other]).fresh == (other,)


def test_a_digest_of_a_passage_is_of_its_text() -> None:
    digest = passage_digest("x")
    assert digest.startswith("blake3:")
    assert len(digest) == 7 + 64
    assert digest != passage_digest("y")


def test_passages_are_told_from_what_others_wrote_under_the_same_document() -> None:
    own = records("# A\n\nSame.\n\nSame.\n\nOther.")
    assert cut_of_a_document(own) == [*own]
    contextual = msgspec.structs.replace(own[0], header=f"{own[0].header}\n\u2063Said of it.")
    assert cut_of_a_document([contextual]) == [contextual]
    others = (
        Record(id="1", text=own[0].text, header=own[0].header, document=own[0].document),
        msgspec.structs.replace(own[0], text="Reworded."),
        msgspec.structs.replace(own[0], header="Headed otherwise"),
        msgspec.structs.replace(own[0], document="another.md"),
    )
    for other in others:
        assert cut_of_a_document([other, own[-1]]) == [own[-1]]
