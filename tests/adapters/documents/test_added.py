"""The book of which file each document was last added from."""

import os
from pathlib import Path

import pytest

from littoral.adapters.documents.added import ADDED_FILE, AddedBook, added_book
from littoral.terms.errors import StoreError


def inside(book: AddedBook, folder: str, *, scope: str = "", name: str = "docs") -> dict[str, str]:
    return book.inside(scope, name, folder)


def test_documents_are_found_by_the_folder_that_their_files_lie_in(tmp_path: Path) -> None:
    odd = os.fsdecode(b"/a/docs/\xff.md")
    with added_book(tmp_path / "home") as book:
        files = {"docs/x.md": "/a/docs/x.md", "docs/y/z.md": "/a/docs/y/z.md", odd: odd}
        book.keep("", "docs", files | {"docs2/x.md": "/a/docs2/x.md", "docs": "/a/docs"})
        book.keep("", "other", {"docs/o.md": "/a/docs/o.md"})
        book.keep("tenant:t", "docs", {"docs/t.md": "/a/docs/t.md"})
    with added_book(tmp_path / "home") as book:
        assert inside(book, "/a/docs") == files
        assert inside(book, "/a/docs/y") == {"docs/y/z.md": "/a/docs/y/z.md"}
        assert inside(book, "/a/docs", name="other") == {"docs/o.md": "/a/docs/o.md"}
        assert inside(book, "/a/docs", scope="tenant:t") == {"docs/t.md": "/a/docs/t.md"}
        assert len(inside(book, "/")) == 5
    assert (tmp_path / "home" / ADDED_FILE).stat().st_mode & 0o777 == 0o600


def test_a_document_is_of_the_file_that_it_was_taken_from_last(tmp_path: Path) -> None:
    with added_book(tmp_path) as book:
        book.keep("", "docs", {"docs/x.md": "/a/docs/x.md", "docs/y.md": "/a/docs/y.md"})
        book.loosen("", "docs", {"docs/x.md": "/b/docs/x.md", "docs/y.md": "/a/docs/y.md"})
        assert inside(book, "/") == {"docs/y.md": "/a/docs/y.md"}, "until it is taken: of none"
        book.keep("", "docs", {"docs/x.md": "/b/docs/x.md"})
        assert inside(book, "/b") == {"docs/x.md": "/b/docs/x.md"}
        book.keep("", "docs", {"docs/x.md": "/a/docs/x.md"})
        assert inside(book, "/b") == {}
        book.forget("", "docs", ["docs/x.md", "docs/none.md"])
        assert inside(book, "/") == {"docs/y.md": "/a/docs/y.md"}


def test_a_damaged_book_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / ADDED_FILE).write_bytes(b"no database at all, whatever it is called" * 40)
    with pytest.raises(StoreError, match="move it away to begin a new one"), added_book(tmp_path):
        pass
