"""What git calls things, for clients that know artifacts as repositories of the Hugging Face Hub.

There, small files are kept in git itself and named by their git blob; large ones by their SHA-256,
with a pointer in their place in git (Git LFS). Artifacts that come from elsewhere are told as if
all their files were of the second kind, and have a commit that their files alone decide.
"""

import hashlib
from collections.abc import Iterable

from littoral.terms.artifacts import OriginFile
from littoral.terms.ids import Digest

__all__ = ["git_name", "pointer_of", "sha256_hex", "stand_in_commit"]


def sha256_hex(digest: Digest) -> str:
    """The 64 digits of a digest."""
    return digest.removeprefix("sha256:")


def pointer_of(digest: Digest, size_bytes: int) -> bytes:
    """What stands in git for a file that is not kept there."""
    return (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{sha256_hex(digest)}\nsize {size_bytes}\n"
    ).encode()


def git_name(file: OriginFile) -> str:
    """The name of the file's blob in git, 40 hexadecimal digits: of its bytes, or its pointer's."""
    if file.git_oid is not None:
        return file.git_oid
    assert file.digest is not None, "a file on a shelf has a digest or a git name"
    pointer = pointer_of(file.digest, file.size_bytes)
    return hashlib.sha1(b"blob %d\0%b" % (len(pointer), pointer)).hexdigest()  # noqa: S324 - git's


def stand_in_commit(files: Iterable[OriginFile]) -> str:
    """A commit for files that come from no repository: the same files have the same everywhere."""
    told = hashlib.sha256(b"littoral commit 1\n")
    for file in sorted(files, key=lambda each: each.path):
        told.update(f"{git_name(file)} {file.size_bytes} {file.path}\n".encode())
    return told.hexdigest()[:40]
