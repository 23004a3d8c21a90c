"""Names of files and documents, there and back, and states as OpenAI's clients know them."""

from hypothesis import given
from hypothesis import strategies as st

from littoral.terms.stores import Batch, Counts, document_of, file_in
from littoral.web.stores.shapes import batch_object


@given(st.text("0123456789abcdef", min_size=1), st.text())
def test_a_files_document_says_which_file_it_is(hexadecimal: str, filename: str) -> None:
    file_id = f"file-{hexadecimal}"
    assert file_in(document_of(file_id, filename)) == (file_id, filename)


def test_a_document_that_is_no_file_is_called_as_it_is() -> None:
    for name in ("docs/keys.md", "file-notes", "notes", ""):
        assert file_in(name) == (name, name)


def test_a_batch_is_what_its_files_are() -> None:
    def status(*, cancelled: bool = False, **counts: int) -> object:
        made = Batch(
            id="b",
            store="s",
            scope="",
            created_unix_s=0,
            cancelled=cancelled,
            counts=Counts(**counts),
        )
        return batch_object(made)["status"]

    assert status(in_progress=1, completed=2) == "in_progress"
    assert status(completed=1, failed=1) == "completed"
    assert status(failed=2) == "failed"
    assert status(completed=1, cancelled=True) == "cancelled"
