"""The files of a repository as the Hugging Face Hub lists them: rows of JSON, and pages of them.

Of folders the Hub says the git tree; here it is a stand-in that the files below decide. Nothing of
Xet is ever said: a client that is told of it takes another road than this PoP.
"""

from collections.abc import Iterable
from typing import Final

from littoral.delivery.access import unknown_file
from littoral.delivery.git_names import git_name, pointer_of, sha256_hex, stand_in_commit
from littoral.terms.artifacts import OriginFile, Shelved

__all__ = ["PAGE_ROWS", "Row", "entity_tag", "paths_info", "repository_info", "tree"]

Row = dict[str, object]

PAGE_ROWS: Final = 1000
"""Rows of a tree in one answer, as on the Hub."""


def entity_tag(file: OriginFile) -> str:
    """The bare entity tag: of files kept in git their git name, of others their SHA-256."""
    if file.git_oid is not None:
        return file.git_oid
    assert file.digest is not None, "a file on a shelf has a digest or a git name"
    return sha256_hex(file.digest)


def repository_info(shelved: Shelved, *, blobs: bool) -> Row:
    """What `model_info` shows.

    Args:
        shelved: the revision.
        blobs: whether the size and the digest of each file are wanted.
    """
    name = shelved.repository.removeprefix("datasets/")
    owner, _, _ = name.rpartition("/")
    return {
        "_id": shelved.commit[:24],
        "id": name,
        "modelId": name,
        "author": owner or None,
        "sha": shelved.commit,
        "private": shelved.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [_sibling(file, blobs=blobs) for file in shelved.files],
        "usedStorage": sum(file.size_bytes for file in shelved.files),
    }


def tree(shelved: Shelved, folder: str, *, recursive: bool) -> list[Row]:
    """Files and folders below a folder (`""` is all), sorted by path.

    Raises:
        NotFoundError: there is no such folder.
    """
    start = f"{folder}/" if folder else ""
    below = [file for file in shelved.files if file.path.startswith(start)]
    if folder and not below:
        raise unknown_file(shelved.repository, folder)
    rows: dict[str, Row] = {}
    for file in below:
        parts = file.path[len(start) :].split("/")
        for depth in range(1, len(parts)) if recursive else range(1, min(2, len(parts))):
            path = start + "/".join(parts[:depth])
            if path not in rows:
                rows[path] = _folder(path, below)
        if recursive or len(parts) == 1:
            rows[file.path] = _file(file)
    return [rows[path] for path in sorted(rows)]


def paths_info(shelved: Shelved, paths: Iterable[str]) -> list[Row]:
    """Of these paths what each is; those that are not there are left out."""
    files = {file.path: file for file in shelved.files}
    rows: list[Row] = []
    for path in dict.fromkeys(path.rstrip("/") for path in paths):
        if path in files:
            rows.append(_file(files[path]))
        elif any(each.startswith(f"{path}/") for each in files):
            rows.append(_folder(path, shelved.files))
    return rows


def _file(file: OriginFile) -> Row:
    row: Row = {"type": "file", "oid": git_name(file), "size": file.size_bytes, "path": file.path}
    return row | _lfs(file, "oid")


def _folder(path: str, files: Iterable[OriginFile]) -> Row:
    oid = stand_in_commit(file for file in files if file.path.startswith(f"{path}/"))
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def _sibling(file: OriginFile, *, blobs: bool) -> Row:
    row: Row = {"rfilename": file.path}
    if blobs:
        row |= {"size": file.size_bytes, "blobId": git_name(file)} | _lfs(file, "sha256")
    return row


def _lfs(file: OriginFile, name: str) -> Row:
    """Of a file that git keeps a pointer of, with its SHA-256 by this name; else nothing."""
    if file.git_oid is not None or file.digest is None:
        return {}
    pointer_bytes = len(pointer_of(file.digest, file.size_bytes))
    sha256 = sha256_hex(file.digest)
    return {"lfs": {name: sha256, "size": file.size_bytes, "pointerSize": pointer_bytes}}
