"""Repositories in a folder, shelved."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from littoral.delivery.git_names import stand_in_commit
from littoral.terms.artifacts import OriginFile, Shelved
from littoral.terms.ids import KeyId, ModelName, digest_of_hex
from littoral.terms.values import Caller

IN_GIT_BYTES_MAX = 10_000
"""Larger files are kept outside of git, as on the Hub."""


def shelved(
    folder: Path,
    repository: str,
    files: Mapping[str, bytes],
    *,
    names: tuple[str, ...] = ("main",),
    private: bool = False,
    models: tuple[str, ...] = (),
) -> Shelved:
    """Write the files, and say what they are."""
    listed = []
    for number, (path, data) in enumerate(sorted(files.items())):
        place = folder / "-".join((repository, *names, str(number))).replace("/", "-")
        place.write_bytes(data)
        blob = hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()
        listed.append(
            OriginFile(
                path,
                len(data),
                digest_of_hex(hashlib.sha256(data).hexdigest()),
                place=str(place),
                git_oid=blob if len(data) <= IN_GIT_BYTES_MAX else None,
            )
        )
    return Shelved(
        repository,
        stand_in_commit(listed),
        tuple(listed),
        names,
        private,
        tuple(map(ModelName, models)),
    )


def caller(*models: str, operator: bool = False, limited: bool = False) -> Caller:
    """Who has a key; with `limited` or models, one for these models only."""
    given = tuple(map(ModelName, models)) if models or limited else None
    return Caller(KeyId("ktest00000000"), "test", operator, given)
