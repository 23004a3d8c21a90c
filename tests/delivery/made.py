"""Small artifacts for these tests."""

import hashlib
from collections.abc import Mapping

from blake3 import blake3

from littoral.delivery.manifest import GIT_BYTES_MAX, FileFormat, FileRow, Kind, Manifest, blake3_of
from littoral.delivery.tables import encode_cuts, encode_table
from littoral.trust.names import digest_of


def cuts_of_pieces(pieces: list[bytes]) -> bytes:
    """The cuts of a file that is these chunks."""
    at = 0
    cuts = []
    for piece in pieces:
        cuts.append((at, len(piece)))
        at += len(piece)
    return encode_cuts(cuts)


def table_of(pieces: list[bytes]) -> bytes:
    """The table of a file that is these chunks."""
    return encode_table(cuts_of_pieces(pieces), [blake3(piece).digest() for piece in pieces])


def git_oid_of(data: bytes) -> str:
    """What git calls these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def artifact_of(files: Mapping[str, list[bytes]]) -> tuple[Manifest, tuple[bytes, ...]]:
    """The manifest and tables of files that are these chunks."""
    rows, tables = [], []
    for path, pieces in sorted(files.items()):
        table = table_of(pieces)
        tables.append(table)
        data = b"".join(pieces)
        rows.append(
            FileRow(
                path=path,
                size_bytes=len(data),
                sha256=digest_of(data),
                git_oid=git_oid_of(data) if len(data) <= GIT_BYTES_MAX else None,
                format=FileFormat.PLAIN,
                chunks=len(pieces),
                table=blake3_of(table),
                tensors=None,
            )
        )
    return Manifest(Kind.WEIGHTS, None, tuple(rows)), tuple(tables)
