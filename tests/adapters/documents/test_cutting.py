"""Where documents are cut."""

import pytest

from littoral.adapters.documents import cutting
from littoral.adapters.documents.cutting import TokenLimit, pieces_of
from littoral.memory.passages import Cutting, Document, Outline
from littoral.terms.errors import BadRequestError
from littoral.terms.values import ModelEntry

SENTENCE = "The tide comes in twice a day, and leaves as often. "


def document(text: str, **more: object) -> Document:
    return Document(name="d.md", title="Tides", text=text, **more)  # type: ignore[arg-type]


def test_pieces_are_parts_of_the_text_and_leave_out_nothing_but_blanks() -> None:
    whole = document("\n\n".join(f"## Part {number}\n\n{SENTENCE * 9}" for number in range(9)))
    pieces = pieces_of(whole, Cutting(chars=300), None)
    assert len(pieces) > 9
    assert all(len(piece.text) <= 300 for piece in pieces)
    assert all(whole.text.startswith(piece.text, piece.start) for piece in pieces)
    said = "".join(piece.text for piece in pieces).replace(" ", "").replace("\n", "")
    headings = "".join(f"##Part{number}" for number in range(9))
    assert len(whole.text.replace(" ", "").replace("\n", "")) - len(said) <= len(headings)


@pytest.mark.parametrize(
    "second",
    [
        f"# Two\n\n{SENTENCE * 900}",
        f"Two\n---\n\n{SENTENCE * 100}\n\n{SENTENCE * 800}",
        f"\nTwo {SENTENCE * 900}",
        f"Two {SENTENCE * 900}",
    ],
)
def test_a_long_text_is_parted_at_its_structure(second: str) -> None:
    first = f"# One\n\n{SENTENCE * 1_200}\n"
    whole = document(first + second)
    parts = [*cutting._stretches(whole.text, Outline(whole))]
    assert [part.text for part in parts] == [first, second]
    assert [part.start for part in parts] == [0, len(first)]


def test_a_text_without_structure_is_parted_somewhere_and_nothing_is_lost() -> None:
    text = "x" * 150_000
    pieces = pieces_of(document(text), Cutting(chars=800), None)
    assert "".join(piece.text for piece in pieces) == text
    assert all(len(piece.text) <= 800 for piece in pieces)


def test_pieces_overlap_where_that_is_wanted() -> None:
    pieces = pieces_of(document(SENTENCE * 40), Cutting(chars=200, overlap=60), None)
    ends = [piece.start + len(piece.text) for piece in pieces]
    assert any(after.start < end for end, after in zip(ends, pieces[1:], strict=False))


def test_what_says_nothing_is_no_piece() -> None:
    text = f"```\n{SENTENCE * 3}\n```\n\n***\n\n{SENTENCE * 3}"
    assert all(any(map(str.isalnum, piece.text)) for piece in _cut(text, 160))


def _cut(text: str, chars: int):  # type: ignore[no-untyped-def]
    return pieces_of(document(text), Cutting(chars=chars), None)


def test_no_passage_has_more_tokens_than_its_model_takes(minilm: ModelEntry) -> None:
    limit = TokenLimit(minilm.files[1].path, 64)
    texts = [SENTENCE * 30, "0123456789abcdef" * 200, "潮が満ちる。" * 300, "é" * 2_000, "🌊" * 500]
    whole = document("# Of water\n\n" + "\n\n".join(texts))
    pieces = pieces_of(whole, Cutting(chars=800), limit)
    outline = Outline(whole)
    counts = limit.counts([f"{outline.header(piece)}\n{piece.text}" for piece in pieces])
    assert max(counts) <= 64
    assert max(counts) > 50, "passages are not shorter than they have to be"
    assert all(whole.text.startswith(piece.text, piece.start) for piece in pieces)


def test_the_tokenizer_counts_past_the_end_that_its_file_says(minilm: ModelEntry) -> None:
    (count,) = TokenLimit(minilm.files[1].path, 256).counts(["word " * 1_000])
    assert count == 1_002


def test_too_many_passages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "PASSAGES_MAX", 3)
    with pytest.raises(BadRequestError, match=r"d\.md makes \d+ passages: cut it into several"):
        pieces_of(document(SENTENCE * 40), Cutting(chars=200), None)
