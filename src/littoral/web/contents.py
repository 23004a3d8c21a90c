"""What a record holds beside its vectors, as one JSON object: as Qdrant and Pinecone have it.

It is the metadata of the record. What else a record has (of those that were brought in as
documents) stands beside it under names with `$`: `$text`, `$header`, `$document`, `$position`,
`$labels`. A record may be written with them too; one that is read and written again keeps all of
it, who may see it included.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from littoral.terms.errors import BadRequestError
from littoral.terms.memory import Record
from littoral.web.dialects.reading import checked

__all__ = ["check_plain", "contents_of", "filled"]


class _Own(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=lambda name: f"${name}"):
    """What a record has beside its metadata."""

    text: str = ""
    header: str = ""
    document: str = ""
    position: int = 0
    labels: tuple[str, ...] = ()


_OWN: Final = tuple(f"${name}" for name in _Own.__struct_fields__)


def filled(record: Record, contents: Mapping[str, object] | None) -> Record:
    """The record with what its contents say.

    Raises:
        BadRequestError: a name begins with `$` and is none of those that are known.
    """
    if not contents:
        return record
    own = {name: value for name, value in contents.items() if name.startswith("$")}
    if not own:
        return msgspec.structs.replace(record, metadata=contents)
    said = checked(own, _Own)
    plain = {name: value for name, value in contents.items() if name not in own}
    return msgspec.structs.replace(record, metadata=plain, **msgspec.structs.asdict(said))


def check_plain(names: Sequence[str]) -> None:
    """Refuse to change what is no metadata.

    Raises:
        BadRequestError: a name begins with `$`.
    """
    if any(name.startswith("$") for name in names):
        raise BadRequestError(
            f"{', '.join(_OWN)} are changed with the whole point",
            advice="upsert it",
            param="payload",
        )


def contents_of(record: Record) -> Mapping[str, object]:
    """All of a record but its vectors."""
    own = (record.text, record.header, record.document, record.position, record.labels)
    if not any(own):
        return record.metadata
    beside = {name: value for name, value in zip(_OWN, own, strict=True) if value}
    return {**record.metadata, **beside}
